"""Put something around a callable of a timm model: its paths, its tensors and its timm-ness stay as they are.

A span's module gets a forward of its own, as an attribute that hides the class's. The attention's inner function and a
residual branch are no modules, so there the module that holds them gets timm's forward written out:

    x = x + drop_path1(ls1(attn(norm1(x))));   x = x + drop_path2(ls2(mlp(norm2(x))))        (1)   a Block
    x = proj(norm(inner(q_norm(q), k_norm(k), v)))                                           (2)   an Attention

Source: timm 1.0.31, models/vision_transformer.py and layers/attention.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from timm.layers import Attention
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn import functional as F

from supernet.choices.rewire import Function
from supernet.sites import Place

Around = Callable[..., Tensor]  # (f, *x) -> y


def wire(model: nn.Module, arounds: Mapping[Place, Around]) -> None:
    """Wrap each of these sites of the model; what was wrapped in it before is as it came from timm.

    A site is given before those within it, as `sites.places` gives them: the inner one is wrapped first.
    """
    unwire(model)
    for place, around in reversed(list(arounds.items())):
        module = model.get_submodule(place.path)
        module.__dict__["forward"] = _wrapped(place.name, module, around)


def unwire(model: nn.Module) -> None:
    """Every module computes what its class says."""
    for module in model.modules():
        module.__dict__.pop("forward", None)


def _wrapped(name: str, module: nn.Module, around: Around) -> Function:
    if name.endswith(".core"):
        return partial(attention_forward, module, around)
    if name.endswith(".ffn"):
        return partial(_block, module, around)
    return partial(_span, module.forward, around)


def _span(f: Function, around: Around, *x: Tensor, **masks: Any) -> Tensor:
    """A module's own forward, wrapped; masks go to it as they came."""
    return around(partial(f, **masks), *x)


def _block(block: Block, around: Around, x: Tensor, **masks: Any) -> Tensor:
    """Equation (1) with its second branch wrapped, the norm and all: (batch, tokens, width) -> the same."""
    x = x + block.drop_path1(block.ls1(block.attn(block.norm1(x), **masks)))
    return x + around(partial(_ffn, block), x)


def _ffn(block: Block, x: Tensor) -> Tensor:
    branch: Tensor = block.drop_path2(block.ls2(block.mlp(block.norm2(x))))
    return branch


def attention_forward(
    attention: Attention,
    around: Around,
    x: Tensor,
    attn_mask: Tensor | None = None,
    is_causal: bool = False,
    asking: int | None = None,
) -> Tensor:
    """Equation (2) with its inner function wrapped: (batch, tokens, width) -> the same, of the first `asking` tokens.

    All are asked for keys and values.
    """
    assert attn_mask is None, "a wrapped attention is not masked"
    assert not is_causal, "a wrapped attention is not causal"
    batch, tokens, _ = x.shape
    split = attention.qkv(x).reshape(batch, tokens, 3, attention.num_heads, attention.head_dim).permute(2, 0, 3, 1, 4)
    q, k, v = split.unbind(0)  # (batch, heads, tokens, width / heads) each
    heads = around(partial(_inner, attention), attention.q_norm(q[:, :, :asking]), attention.k_norm(k), v)
    heads = attention.norm(heads.transpose(1, 2).flatten(2))
    gate = getattr(attention, "gate", None)
    out: Tensor = attention.proj_drop(attention.proj(heads if gate is None else heads * gate(x[:, :asking]).sigmoid()))
    return out


def _inner(attention: Attention, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(width / heads)) v, fused or as timm writes it out."""
    if attention.fused_attn:
        dropped = attention.attn_drop.p if attention.training else 0.0
        return F.scaled_dot_product_attention(q, k, v, dropout_p=dropped)
    weights: Tensor = attention.attn_drop((q * attention.scale @ k.transpose(-2, -1)).softmax(dim=-1))
    return weights @ v
