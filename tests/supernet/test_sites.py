import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import timm
import torch
from timm.models.vision_transformer import (
    Block,
    DiffParallelScalingBlock,
    ParallelScalingBlock,
    ParallelThingsBlock,
    ResPostBlock,
    VisionTransformer,
)
from torch import nn

from supernet.errors import BadInput
from supernet.merging import merge_into
from supernet.model import Supernet
from supernet.settings import SpaceSettings
from supernet.sites import linears, require_supported


def meta(name: str, **arguments: Any) -> nn.Module:
    with torch.device("meta"):
        model: nn.Module = timm.create_model(name, **arguments)
    return model


def test_every_linear_of_a_vit_b_is_a_site_in_the_order_of_its_blocks() -> None:
    paths = [path for path, _ in linears(meta("vit_base_patch16_224"))]
    layers = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
    assert paths == [f"blocks.{block}.{layer}" for block in range(12) for layer in layers]


@pytest.mark.parametrize("name", ["test_vit", "test_vit2", "test_vit3", "test_vit4"])
def test_neither_the_head_nor_a_pooling_layer_is_a_site(name: str) -> None:
    model = meta(name, num_classes=5)
    found = dict(linears(model))
    assert all(path.startswith("blocks.") and isinstance(module, nn.Linear) for path, module in found.items())
    assert all(module is model.get_submodule(path) for path, module in found.items())
    elsewhere = [path for path, module in model.named_modules() if isinstance(module, nn.Linear) and path not in found]
    assert "head" in elsewhere
    assert all(path.split(".")[0] in ("head", "attn_pool") for path in elsewhere)


Arguments = dict[str, Any]
OTHER: list[Arguments] = [
    {"block_fn": ResPostBlock},
    {"block_fn": ParallelThingsBlock},
    {"block_fn": ParallelScalingBlock},
    {"block_fn": ParallelScalingBlock, "qkv_bias": False},
    {"block_fn": DiffParallelScalingBlock},
    {"attn_layer": "diff"},
]


def _name(other: Arguments) -> str:
    return "-".join(str(getattr(value, "__name__", value)) for value in other.values())


@pytest.mark.parametrize("other", OTHER, ids=_name)
def test_other_blocks_that_call_their_linears_work(vit_of: Callable[..., VisionTransformer], other: Arguments) -> None:
    """The gradient of every support shows that the site is really asked."""
    supernet = Supernet(vit_of(**other), SpaceSettings(), torch.Generator().manual_seed(0))
    found = {path for path, module in vit_of(**other).named_modules() if isinstance(module, nn.Linear)}
    assert set(supernet.sites) == found - {"head"}
    with supernet.active(supernet.space.largest):
        supernet(torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))).square().sum().backward()
    downs = {name: p for name, p in supernet.trained().items() if name.endswith("down")}
    assert all(parameter.grad.abs().sum() > 0 for parameter in downs.values())


@pytest.mark.parametrize("other", OTHER, ids=_name)
def test_a_subnet_of_other_blocks_merges(pair_of: Callable[..., Any], images: torch.Tensor, other: Arguments) -> None:
    plain, supernet = pair_of(SpaceSettings(ranks=(4, 2)), **other)
    before = plain(images)
    for genome in (supernet.space.largest, supernet.space.draw(np.random.default_rng(0))):
        merged = copy.deepcopy(plain)
        merge_into(merged, supernet, genome)
        with torch.no_grad(), supernet.active(genome):
            torch.testing.assert_close(merged(images), supernet(images), rtol=1e-9, atol=1e-9)
        assert not torch.allclose(merged(images), before)


@pytest.mark.parametrize(("name", "kind"), [("resnet18", "ResNet"), ("coatnet_0_224", "MaxxVit")])
def test_a_model_of_another_family_is_refused_by_its_type(name: str, kind: str) -> None:
    with pytest.raises(BadInput, match=rf"a {kind} is not supported; expected one of timm's VisionTransformer"):
        list(linears(meta(name)))


@pytest.mark.parametrize("other", OTHER[1:], ids=_name)
def test_what_wraps_is_refused_there_by_type(vit_of: Callable[..., VisionTransformer], other: Arguments) -> None:
    what = "an Attention" if "attn_layer" in other else "those of a Block"
    with pytest.raises(BadInput, match=rf"blocks\.0(\.attn)? is a \w+; only {what} can be wrapped"):
        Supernet(vit_of(**other), SpaceSettings(name="prefix"), torch.Generator())


def test_a_block_of_another_type_is_refused_by_its_type(vit_of: Callable[..., VisionTransformer]) -> None:
    class Own(Block):  # type: ignore[misc]  # timm has no types
        pass

    with pytest.raises(BadInput, match=r"blocks\.0 is a Own; supported are Block, ResPostBlock"):
        Supernet(vit_of(block_fn=Own), SpaceSettings(), torch.Generator())


def test_an_attention_of_another_type_is_refused_by_its_type(vit_of: Callable[..., VisionTransformer]) -> None:
    class Other(nn.Module):
        pass

    model = vit_of()
    model.blocks[1].attn = Other()
    with pytest.raises(BadInput, match=r"blocks\.1\.attn is a Other; supported are Attention, DiffAttention"):
        require_supported(model)
