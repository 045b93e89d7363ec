"""Where something can be chosen: the op sites of a timm Vision Transformer, found by type."""

from __future__ import annotations

from collections.abc import Iterator

from timm.layers import Attention
from timm.models.vision_transformer import Block, ParallelThingsBlock, ResPostBlock, VisionTransformer
from torch import nn

from supernet.errors import BadInput

# Blocks that call each of their Linears as a module. ParallelScalingBlock does not: it reads the weights of its fused
# projection and adds a bias of its own, so a choice at that Linear would never be asked.
BLOCKS = (Block, ResPostBlock, ParallelThingsBlock)


def require_supported(model: nn.Module) -> VisionTransformer:
    """The model itself, if each of its blocks is of a type that op sites work on; else BadInput names the type."""
    if not isinstance(model, VisionTransformer):
        raise BadInput(
            f"The backbone must be a timm VisionTransformer; {type(model).__name__} is not supported. "
            "`timm.list_models('vit_*')` lists models that are."
        )
    for name, block in model.blocks.named_children():
        if type(block) not in BLOCKS:
            raise BadInput(f"blocks.{name} is a {type(block).__name__}; supported are {_names(BLOCKS)}.")
        for path, module in block.named_modules():
            if path.endswith("attn") and type(module) is not Attention:
                raise BadInput(f"blocks.{name}.{path} is a {type(module).__name__}; supported is Attention.")
    return model


def linears(model: nn.Module) -> Iterator[tuple[str, nn.Linear]]:
    """(path, module) of every Linear in the blocks, in the order of the forward definition: 48 in a ViT-B."""
    vit = require_supported(model)
    for path, module in vit.blocks.named_modules():
        if isinstance(module, nn.Linear):
            yield f"blocks.{path}", module


def _names(types: tuple[type, ...]) -> str:
    return ", ".join(kind.__name__ for kind in types)
