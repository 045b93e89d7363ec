"""What a wrapped callable can become: a module without a choice in it, with a few more keys or hidden units.

    attention:  [P_k; K], [P_v; V] with constant P_k, P_v (heads, n, d_h)                    (1)
    MLP:        fc1 = [W1; D], [b1; b_D],   fc2 = [W2, U], b2 + b_U                          (2)

(1) is what deep prompts P amount to: each block throws their outputs away, so only their keys and values act, those
that qkv(norm1(P)) and k_norm make. (2) is what act(x D^T + b_D) U^T + b_U beside an MLP amounts to if act is its own.
Source: derived, and held to the wrapped callable by tests.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import cast

import torch
from timm.layers import Attention, Mlp
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn import functional as F

from supernet.choices.prefix import prefixed
from supernet.choices.rewire import Function
from supernet.wiring import attention_forward

SAME: dict[type[nn.Module], Callable[[Tensor], Tensor]] = {nn.GELU: F.gelu, nn.ReLU: F.relu}  # activations of an MLP


class PrefixedAttention(Attention):  # type: ignore[misc]  # timm has no types
    """timm's attention with constant keys and values before those of the tokens: equation (1)."""

    keys: Tensor
    values: Tensor

    def forward(self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        """(batch, tokens, width) -> the same."""
        return attention_forward(self, self._with_prefix, x, attn_mask, is_causal)

    def _with_prefix(self, f: Function, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return f(q, *prefixed(k, v, self.keys, self.values))


def with_constants(attention: Attention, keys: Tensor, values: Tensor) -> PrefixedAttention:
    """A copy of the attention with constants (heads, n, d_h) beside its keys and values."""
    made = copy.deepcopy(attention)
    made.__class__ = PrefixedAttention
    made.register_buffer("keys", keys.detach().clone(memory_format=torch.contiguous_format))
    made.register_buffer("values", values.detach().clone(memory_format=torch.contiguous_format))
    return cast(PrefixedAttention, made)


@torch.no_grad()
def with_prefix(block: nn.Module, prompts: Tensor) -> nn.Module | None:
    """A copy of the block that computes what it computes beside the prompts (n, d); None if it is no plain Block."""
    if type(block) is not Block or type(block.attn) is not Attention:
        return None
    attention = cast(Attention, block.attn)
    split = attention.qkv(cast(nn.Module, block.norm1)(prompts)).unflatten(
        -1, (3, attention.num_heads, attention.head_dim)
    )
    _, keys, values = split.permute(1, 2, 0, 3).unbind(0)  # (heads, n, d_h) each
    made = copy.deepcopy(block)
    made.attn = with_constants(attention, attention.k_norm(keys), values)
    return made


@torch.no_grad()
def widened(
    mlp: nn.Module, act: Callable[[Tensor], Tensor], into: Tensor, into_bias: Tensor, back: Tensor, back_bias: Tensor
) -> nn.Module | None:
    """A copy of the MLP with r more hidden units, equation (2); None if its activation is another, or it has a norm."""
    if type(mlp) is not Mlp or not isinstance(mlp.norm, nn.Identity):
        return None
    if SAME.get(type(cast(nn.Module, mlp.act))) is not act:
        return None
    if getattr(mlp.act, "approximate", "none") != "none" or not _has_biases(mlp):
        return None
    made = copy.deepcopy(mlp)
    fc1, fc2 = cast(nn.Linear, mlp.fc1), cast(nn.Linear, mlp.fc2)
    made.fc1 = _linear(torch.cat([fc1.weight, into]), torch.cat([fc1.bias, into_bias]))
    made.fc2 = _linear(torch.cat([fc2.weight, back], dim=1), fc2.bias + back_bias)
    return made


def _has_biases(mlp: Mlp) -> bool:
    return mlp.fc1.bias is not None and mlp.fc2.bias is not None


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    made = nn.Linear(weight.shape[1], weight.shape[0], device="meta").requires_grad_(False)
    made.load_state_dict({"weight": weight, "bias": bias}, assign=True)
    return made
