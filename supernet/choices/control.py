"""Control: a low-rank controller beside a branch, and attention across its own outputs, without a weight more.

    u = (x D^T + b_D) U^T + b_U                                 D (r, d), U (d, r)
    mix(u)_i = sum over j of softmax_j(<u_i, u_j>) u_j          over all tokens, at width d  (1)
    y = f(x) + u + mix(u)

U and the biases start at zero, so it is the backbone at the start; D is Kaiming's uniform. Costs 2 d r + r + d. The
site is the port: at `blocks.i.mlp` x is normed, the source's stable mode; at `blocks.i.ffn` it is the raw residual
stream, as in its default, of which it says that it can fail.

`heads` above 1 cuts u into slices of d / heads and mixes each by itself. That is an interpretation: the source shows a
multi-head controller in a figure and its code has one head. Source: Zhang et al., ICML 2024; czhang024/ICML-ANC.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from supernet.choices.reweight import Index
from supernet.choices.rewire import Function
from supernet.choices.slices import EVERY, NONE, size_of, sized, taken, uniform, zeros
from supernet.errors import BadInput
from supernet.strict import Positive, Settings, Sizes


class Control(nn.Module):
    """A controller of one of the ranks, or none."""

    class Options(Settings):
        """What a row may set."""

        ranks: Sizes = Field(default=(64,), description="ranks; smaller ones are slices of the largest")
        heads: Positive | Literal["model"] = Field(default=1, description="slices that mix; `model`: as its attention")

    on, by_token = ("branch",), False

    def __init__(self, width: int, heads: int, options: Options, generator: torch.Generator) -> None:
        super().__init__()
        rank, self.heads = max(options.ranks), heads if options.heads == "model" else options.heads
        if width % self.heads:
            raise BadInput(f"space.options: heads is {self.heads}, which does not divide the width {width}.")
        self.into, self.into_bias = uniform(rank, width, width=width, generator=generator), zeros(rank)
        self.back, self.back_bias = zeros(width, rank), zeros(width)
        self.forms = (*sized("rank", options.ranks, lambda r: 2 * width * r + r + width), NONE)

    def around(self, form: str, f: Function, *x: Tensor) -> Tensor:
        p = self.stored(form)
        u = F.linear(F.linear(x[0], p["into"], p["into_bias"]), p["back"], p["back_bias"])  # (batch, N, d)
        return f(*x) + u + self.mixed(u)

    def mixed(self, u: Tensor) -> Tensor:
        """mix(u) of equation (1), slice by slice: (batch, N, d) -> (batch, N, d)."""
        parts = u.view(*u.shape[:-1], self.heads, -1).transpose(1, 2)  # (batch, heads, N, d / heads)
        weights = (parts @ parts.transpose(-2, -1)).softmax(-1).to(u.dtype)
        return (weights @ parts).transpose(1, 2).flatten(-2)

    def entries(self, form: str) -> Iterable[tuple[str, Index]]:
        if form == "none":
            return []
        r = slice(0, size_of(form))
        return [("into", (r, EVERY)), ("into_bias", (r,)), ("back", (EVERY, r)), ("back_bias", (EVERY,))]

    def stored(self, form: str) -> dict[str, Tensor]:
        return taken(self, self.entries(form))

    def compiled(self, form: str, f: nn.Module) -> nn.Module | None:
        return None
