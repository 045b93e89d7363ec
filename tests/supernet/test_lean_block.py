"""Blocks in fewer passes: timm's numbers, and of the last only the token that the head reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from timm.layers import SwiGLU
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from supernet.lean_block import LeanBlock, use_lean_blocks
from supernet.numerics import Numerics, set_fused_attention
from supernet.plain import forward

KINDS: list[dict[str, Any]] = [
    {},
    {"init_values": 0.5},
    {"qkv_bias": False, "proj_bias": False},
    {"class_token": False, "global_pool": "avg"},
    {"global_pool": "avg"},
    {"global_pool": "map"},
    {"reg_tokens": 3},
    {"qk_norm": True},
    {"pre_norm": True},
]


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("arguments", KINDS, ids=str)
@torch.inference_mode()
def test_they_compute_what_timms_compute(
    vit_of: Callable[..., VisionTransformer], images: Tensor, arguments: dict[str, Any], fused: bool
) -> None:
    model = vit_of(**arguments).double()
    set_fused_attention(model, fused)
    expected = model(images)
    use_lean_blocks(model, images.dtype)
    assert all(type(block) is LeanBlock for block in model.blocks)
    assert (model(images) - expected).abs().max() <= 1e-12 * expected.abs().max()


@pytest.mark.parametrize("arguments", [{}, {"init_values": 0.5}, {"qk_norm": True}, {"mlp_layer": SwiGLU}], ids=str)
@torch.inference_mode()
def test_in_bfloat16_they_round_where_timms_do(
    vit_of: Callable[..., VisionTransformer], images: Tensor, numerics: Numerics, arguments: dict[str, Any]
) -> None:
    """A LayerScale and its sum are rounded once less, in float32."""
    model, computing = vit_of(**arguments), replace(numerics, precision="bfloat16")
    expected = forward(model, images.float(), computing)
    use_lean_blocks(model, torch.bfloat16)
    assert (forward(model, images.float(), computing) - expected).norm() <= 1e-3 * expected.norm()


@pytest.mark.parametrize(("arguments", "tokens"), [({}, 1), ({"reg_tokens": 3}, 1), ({"global_pool": "avg"}, None)])
@torch.inference_mode()
def test_the_last_one_gives_what_the_head_reads(
    vit_of: Callable[..., VisionTransformer], images: Tensor, arguments: dict[str, Any], tokens: int | None
) -> None:
    model, seen = vit_of(**arguments).double(), dict[int, int]()
    use_lean_blocks(model, images.dtype)
    for number, block in enumerate(model.blocks):
        block.mlp.register_forward_hook(lambda _, given, __, number=number: seen.update({number: given[0].shape[1]}))
    model(images)
    every = seen[0]
    assert every > 1
    assert [*seen.values()] == [every] * (len(model.blocks) - 1) + [tokens or every]


@torch.inference_mode()
def test_what_goes_in_is_left_as_it_was(vit_of: Callable[..., VisionTransformer]) -> None:
    model = vit_of(init_values=0.5).double()
    use_lean_blocks(model, torch.float64)
    x = torch.randn(2, 5, model.embed_dim, dtype=torch.float64)
    before = x.clone()
    model.blocks(x)
    assert torch.equal(x, before)


@pytest.mark.parametrize(
    "change", ["another block", "another attention", "another mlp", "another scale", "no Vision Transformer"]
)
def test_a_model_with_other_blocks_keeps_all_of_its_own(vit_of: Callable[..., VisionTransformer], change: str) -> None:
    model: Any = vit_of()
    match change:
        case "another block":
            model.blocks[1].__class__ = type("Other", (type(model.blocks[1]),), {})
        case "another attention":
            model.blocks[1].attn = nn.Identity()
        case "another mlp":
            model.blocks[0].mlp = nn.Sequential(nn.LayerNorm(16), model.blocks[0].mlp)
        case "another scale":
            model.blocks[1].ls2 = nn.Linear(2, 2)
        case _:
            model = nn.Sequential(model)
    before = [*model.modules()]
    use_lean_blocks(model, torch.float32)
    assert all(one is two for one, two in zip(model.modules(), before, strict=True))
