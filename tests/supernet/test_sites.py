from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
from timm.models.vision_transformer import (
    ParallelScalingBlock,
    ParallelThingsBlock,
    ResPostBlock,
    VisionTransformer,
)
from torch import nn

from supernet.errors import BadInput
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


@pytest.mark.parametrize("block", [ResPostBlock, ParallelThingsBlock])
def test_other_blocks_that_call_their_linears_work(vit_of: Callable[..., VisionTransformer], block: type) -> None:
    """The gradient of every support shows that the site is really asked."""
    supernet = Supernet(vit_of(block_fn=block), SpaceSettings(), torch.Generator().manual_seed(0))
    found = {path for path, module in vit_of(block_fn=block).named_modules() if isinstance(module, nn.Linear)}
    assert set(supernet.sites) == found - {"head"}
    with supernet.active(supernet.space.largest):
        supernet(torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))).square().sum().backward()
    downs = {name: p for name, p in supernet.trained().items() if name.endswith("down")}
    assert all(parameter.grad.abs().sum() > 0 for parameter in downs.values())


@pytest.mark.parametrize(("name", "kind"), [("resnet18", "ResNet"), ("swinv2_tiny_window8_256", "SwinTransformerV2")])
def test_a_model_of_another_family_is_refused_by_its_type(name: str, kind: str) -> None:
    with pytest.raises(BadInput, match=rf"a {kind} is not supported; expected one of timm's VisionTransformer"):
        list(linears(meta(name)))


def test_a_block_that_reads_its_weights_itself_is_refused_by_its_type(vit_of: Callable[..., VisionTransformer]) -> None:
    with pytest.raises(BadInput, match=r"blocks\.0 is a ParallelScalingBlock; supported are Block, ResPostBlock"):
        Supernet(vit_of(block_fn=ParallelScalingBlock), SpaceSettings(), torch.Generator())


def test_an_attention_of_another_type_is_refused_by_its_type(vit_of: Callable[..., VisionTransformer]) -> None:
    class Other(nn.Module):
        pass

    model = vit_of()
    model.blocks[1].attn = Other()
    with pytest.raises(BadInput, match=r"blocks\.1\.attn is a Other; supported is Attention"):
        require_supported(model)
