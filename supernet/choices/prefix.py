"""Prefix tuning: l trained keys and values before those of the tokens, in every head.

    y = softmax(q [P_k; K]^T / sqrt(d_h)) [P_v; V]       P_k, P_v (heads, l, d_h)            (1)
      = (1 - lambda) attention(q, K, V) + lambda softmax(q P_k^T / sqrt(d_h)) P_v
    lambda(q) = sigmoid(logsumexp of q P_k^T / sqrt(d_h) - logsumexp of q K^T / sqrt(d_h))   (2)

(1) is computed by concatenation, which keeps the fused kernels; (2), the gate, says how much of a query's attention
goes to the prefix. Drawn from N(0, 0.02^2), without the source's MLP. Costs 2 l d. Not the backbone at the start.
Source: Prefix-Tuning (arXiv 2101.00190); He et al. (arXiv 2110.04366) equations 3 to 6.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from pydantic import Field
from torch import Tensor, nn

from supernet.choices.reweight import Index
from supernet.choices.rewire import Function
from supernet.choices.slices import EVERY, NONE, normal, size_of, sized, taken
from supernet.strict import Settings, Sizes

STD = 0.02


class Prefix(nn.Module):
    """Keys and values of one of the lengths, or none."""

    class Options(Settings):
        """What a row may set."""

        lengths: Sizes = Field(default=(10,), description="pairs; fewer are the first of the most")

    on, by_token = ("core",), False

    def __init__(self, width: int, heads: int, options: Options, generator: torch.Generator) -> None:
        super().__init__()
        shape = (heads, max(options.lengths), width // heads)
        self.keys, self.values = (normal(*shape, std=STD, generator=generator) for _ in range(2))
        self.forms = (*sized("prefix", options.lengths, lambda n: 2 * n * width), NONE)

    def around(self, form: str, f: Function, *x: Tensor) -> Tensor:
        q, k, v = x
        return f(q, *prefixed(k, v, **self.stored(form)))

    def entries(self, form: str) -> Iterable[tuple[str, Index]]:
        n = slice(0, 0 if form == "none" else size_of(form))
        return [] if form == "none" else [("keys", (EVERY, n, EVERY)), ("values", (EVERY, n, EVERY))]

    def stored(self, form: str) -> dict[str, Tensor]:
        return taken(self, self.entries(form))

    def compiled(self, form: str, f: nn.Module) -> nn.Module | None:
        return None


def prefixed(k: Tensor, v: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """([P_k; K], [P_v; V]): (batch, heads, l + N, d_h) each."""
    before = ((each.to(k.dtype).expand(k.shape[0], -1, -1, -1), own) for each, own in ((keys, k), (values, v)))
    k, v = (torch.cat(pair, dim=2) for pair in before)
    return k, v


def gate(q: Tensor, k: Tensor, keys: Tensor) -> Tensor:
    """lambda of equation (2): (batch, heads, N, 1), in (0, 1)."""
    scale = q.shape[-1] ** -0.5
    to_prefix, to_tokens = ((q * scale @ each.transpose(-2, -1)).logsumexp(-1, keepdim=True) for each in (keys, k))
    return torch.sigmoid(to_prefix - to_tokens)
