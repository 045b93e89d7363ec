"""A Vision Transformer's Block as evaluation computes it: in fewer passes over its numbers, and only for what is asked.

    x = x + ls1(attn(norm1(x)));   x = x + ls2(mlp(norm2(x)))                                      (1)   timm's Block

LayerScale and sum are one operation, the second one in place. Where the head reads the class token alone, the last
block computes (1) for that token alone, with the keys and values of all. Of 12 blocks that spares a sixteenth of the
products. Source: timm 1.0.31, models/vision_transformer.py.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from timm.layers import Attention, GluMlp, LayerScale, Mlp, SwiGLU
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from supernet.wiring import attention_forward

MLPS = Mlp, GluMlp, SwiGLU  # they begin with Linears, which take what they compute in; a norm would not


class LeanBlock(Block):  # type: ignore[misc]
    """Shares all that another Block holds. For inference."""

    def __init__(self, block: Block, dtype: torch.dtype, asked: int | None = None) -> None:
        """`dtype`: of what its branches compute. `asked`: how many of the first tokens come out; None for all."""
        nn.Module.__init__(self)
        self.__dict__.update(block.__dict__)
        self.dtype, self.asked = dtype, asked

    def forward(self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        """(batch, tokens, width) float32 -> (batch, tokens or those asked for, width) float32."""
        branch = attention_forward(self.attn, _bare, self.norm1(x).to(self.dtype), attn_mask, is_causal, self.asked)
        x = _added(x[:, : self.asked], branch, self.ls1)
        return _added(x, self.mlp(self.norm2(x).to(self.dtype)), self.ls2, out=x)


def use_lean_blocks(model: nn.Module, dtype: torch.dtype) -> None:
    """Put these blocks in place of the model's where it is a Vision Transformer of plain ones; others stay."""
    if type(model) is not VisionTransformer:
        return
    vit = cast(Any, model)
    last = len(vit.blocks) - 1
    if all(_is_plain(block) for block in vit.blocks):
        for number, block in enumerate(vit.blocks):
            vit.blocks[number] = LeanBlock(block, dtype, _pooled(vit) if number == last else None)


def _is_plain(block: nn.Module) -> bool:
    """Whether (1) is all that it computes in eval mode."""
    return (
        type(block) is Block
        and type(block.attn) is Attention
        and type(block.mlp) in MLPS
        and all(type(scale) in (LayerScale, nn.Identity) for scale in (block.ls1, block.ls2))
    )


def _pooled(model: VisionTransformer) -> int | None:
    """How many of the first tokens the head reads; None for all."""
    return 1 if model.global_pool == "token" and model.attn_pool is None else None


def _bare(f: Any, *x: Tensor) -> Tensor:
    """Nothing around it."""
    found: Tensor = f(*x)
    return found


def _added(x: Tensor, branch: Tensor, scale: nn.Module, out: Tensor | None = None) -> Tensor:
    """x + scale(branch)"""
    if isinstance(scale, LayerScale):
        return torch.addcmul(x, branch, scale.gamma, out=out)
    return torch.add(x, branch, out=out)
