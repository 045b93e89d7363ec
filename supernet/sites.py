"""Where something can be chosen in a timm model, found by type. The names are those of a Vision Transformer.

In a Swin Transformer a block is `layers.1.blocks.3`, in a ConvNeXt `stages.1.blocks.3`; only ops are sites there, and
in ViTs of other types (families.py).

| kind     | site                                             | what is there                                      |
|----------|--------------------------------------------------|----------------------------------------------------|
| `linear` | `blocks.3.attn.qkv`, `blocks.3.attn.qkv[q]`, ... | an op with weight and bias, or the rows of a third |
| `conv`   | `patch_embed.proj`                               | the same                                           |
| `norm`   | `blocks.3.norm1`, `norm`, ...                    | the same                                           |
| `core`   | `blocks.3.attn.core`                             | q, k, v -> heads, within the attention             |
| `branch` | `blocks.3.attn`, `blocks.3.mlp`, `blocks.3.ffn`  | tokens -> tokens; `ffn` is the residual branch     |
|          |                                                  | with its norm, so its input is raw                 |
| `block`  | `blocks.3`                                       | tokens -> tokens                                   |
| `stack`  | `blocks`                                         | tokens -> tokens                                   |
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import cast

from timm.layers import Attention, DiffAttention
from timm.models.vision_transformer import (
    Block,
    DiffParallelScalingBlock,
    ParallelScalingBlock,
    ParallelThingsBlock,
    ResPostBlock,
    VisionTransformer,
)
from torch import Tensor, nn

from supernet.errors import BadInput
from supernet.families import family_of, without_choice

# Those that call each of their Linears as a module; where one's weights were read instead, a choice there would never
# be asked. (The scaling blocks do since timm 1.0.25.)
BLOCKS = (Block, ResPostBlock, ParallelThingsBlock, ParallelScalingBlock, DiffParallelScalingBlock)
ATTENTIONS = (Attention, DiffAttention)

OPS = {nn.Linear: "linear", nn.Conv2d: "conv", nn.LayerNorm: "norm"}  # timm's own norms are subclasses


@dataclass(frozen=True, eq=False)
class Place:
    """A site before anything stands there."""

    name: str  # `blocks.3.attn.qkv[q]`
    kind: str  # of the table above
    path: str  # the module whose numbers change, or whose forward is wrapped
    module: nn.Module
    shape: tuple[int, int]  # (out, in) of an op; (tokens' width, heads) where something is wrapped
    rows: slice | None = None  # of an op's rows, None for all

    @property
    def is_op(self) -> bool:
        """Whether numbers change here; else something is wrapped."""
        return self.kind in OPS.values()

    @property
    def site(self) -> str:
        """Where its genes are kept: an op's thirds with the op."""
        return self.path if self.is_op else self.name

    @property
    def third(self) -> str:
        """`[q]`, `[k]`, `[v]` or nothing."""
        return self.name.removeprefix(self.site)


def as_matrix(weight: Tensor) -> Tensor:
    """(out, in): a Linear's weight itself; a Conv2d's kernels and a LayerNorm's factors a row each."""
    return weight if weight.ndim == 2 else weight.view(len(weight), -1)


def require_supported(model: nn.Module) -> None:
    """Raises BadInput, which names the type, unless op sites work on the model and each of its blocks."""
    family_of(model)
    if not isinstance(model, VisionTransformer):
        return
    for name, block in model.blocks.named_children():
        if type(block) not in BLOCKS:
            raise BadInput(f"blocks.{name} is a {type(block).__name__}; supported are {_names(BLOCKS)}.")
        for path, module in block.named_modules():
            if path.endswith("attn") and type(module) not in ATTENTIONS:
                raise BadInput(
                    f"blocks.{name}.{path} is a {type(module).__name__}; supported are {_names(ATTENTIONS)}."
                )


def linears(model: nn.Module) -> Iterator[tuple[str, nn.Linear]]:
    """(path, module) of every Linear in the blocks, in the order of the forward definition: 48 in a ViT-B."""
    require_supported(model)
    without = without_choice(model)
    for path, module in model.named_modules():
        if isinstance(module, nn.Linear) and "blocks" in path.split(".") and path not in without:
            yield path, module


def places(model: nn.Module) -> Iterator[Place]:
    """Every site of the model, in the order of its modules: a span before what it holds, an op before its thirds."""
    stems, without, wrappable = family_of(model).stems, without_choice(model), unserved(model) is None
    for path, module in model.named_modules():
        if path.split(".")[0] in stems:
            if wrappable and path.startswith("blocks"):
                yield from _spans(cast(VisionTransformer, model), path, module)
            if path not in without:
                yield from _ops(path, module)


def matching(places: Iterable[Place], pattern: str) -> list[Place]:
    """Those whose name the pattern says: `*` stands for one part of a path, `**` for any."""
    wanted = named(pattern)
    return [place for place in places if wanted.fullmatch(place.name)]


def named(pattern: str) -> re.Pattern[str]:
    """What the names of a pattern are."""
    escaped = re.escape(pattern).replace(r"\*\*", r"[^\[]*").replace(r"\*", r"[^.\[]*")  # [q] has to be named
    return re.compile(escaped)


def unserved(model: nn.Module) -> str | None:
    """Why spans and cores of the model cannot be wrapped, in words; None if they can."""
    require_supported(model)
    if not isinstance(model, VisionTransformer):
        return f"the backbone is a {type(model).__name__}; only the blocks of a VisionTransformer can be wrapped"
    for name, block in model.blocks.named_children():
        if type(block) is not Block:
            return f"blocks.{name} is a {type(block).__name__}; only those of a Block can be wrapped"
        if type(block.attn) is not Attention:
            return f"blocks.{name}.attn is a {type(block.attn).__name__}; only an Attention can be wrapped"
    return None


def _spans(vit: VisionTransformer, path: str, module: nn.Module) -> Iterator[Place]:
    """The spans and the core that stand at a module of the blocks."""
    shape = vit.embed_dim, vit.blocks[0].attn.num_heads
    match path.split(".")[1:]:
        case []:
            yield Place(path, "stack", path, module, shape)
        case [_]:
            yield Place(path, "block", path, module, shape)
        case [_, "attn"]:
            yield Place(path, "branch", path, module, shape)
            yield Place(f"{path}.core", "core", path, module, shape)
        case [number, "mlp"]:
            yield Place(path, "branch", path, module, shape)
            block = f"blocks.{number}"
            yield Place(f"{block}.ffn", "branch", block, vit.get_submodule(block), shape)


def _ops(path: str, module: nn.Module) -> Iterator[Place]:
    """The op that a module is, and its thirds if it makes q, k and v at once."""
    if not isinstance(module, tuple(OPS)) or module.weight is None:
        return
    kind = next(kind for types, kind in OPS.items() if isinstance(module, types))
    out, width = as_matrix(cast(Tensor, module.weight)).shape
    yield Place(path, kind, path, module, (out, width))
    if path.endswith(".qkv"):
        third = out // 3
        for number, name in enumerate("qkv"):
            rows = slice(number * third, (number + 1) * third)
            yield Place(f"{path}[{name}]", kind, path, module, (third, width), rows)


def _names(types: tuple[type, ...]) -> str:
    return ", ".join(kind.__name__ for kind in types)
