"""Multi-head parallel adapter: a bottleneck within each attention head, which shares its query.

    y = attention(q, K, V) + relu(q P_k^T / sqrt(d_h)) P_v       P_k, P_v (heads, l, d_h)    (1)

P_v starts at zero, so it is the backbone at the start; P_k is drawn from N(0, 0.02^2). Costs 2 l d, as a prefix of that
length. Source: He et al. (arXiv 2110.04366) section 3.3 and table 5; jxhe/unify-parameter-efficient-tuning.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from pydantic import Field
from torch import Tensor, nn

from supernet.choices.reweight import Index
from supernet.choices.rewire import Function
from supernet.choices.slices import EVERY, NONE, normal, size_of, sized, taken, zeros
from supernet.strict import Settings, Sizes

STD = 0.02


class HeadAdapter(nn.Module):
    """Bottlenecks within the heads, of one of the lengths, or none."""

    class Options(Settings):
        """What a row may set."""

        lengths: Sizes = Field(default=(10,), description="units a head; fewer are the first of the most")

    on, by_token = ("core",), True

    def __init__(self, width: int, heads: int, options: Options, generator: torch.Generator) -> None:
        super().__init__()
        shape = (heads, max(options.lengths), width // heads)
        self.keys, self.values = normal(*shape, std=STD, generator=generator), zeros(*shape)
        self.forms = (*sized("heads", options.lengths, lambda n: 2 * n * width), NONE)

    def around(self, form: str, f: Function, *x: Tensor) -> Tensor:
        q, p = x[0], self.stored(form)
        hidden = torch.relu(q * q.shape[-1] ** -0.5 @ p["keys"].transpose(-2, -1).to(q.dtype))  # (batch, heads, N, l)
        return f(*x) + hidden @ p["values"].to(q.dtype)

    def entries(self, form: str) -> Iterable[tuple[str, Index]]:
        n = slice(0, 0 if form == "none" else size_of(form))
        return [] if form == "none" else [("keys", (EVERY, n, EVERY)), ("values", (EVERY, n, EVERY))]

    def stored(self, form: str) -> dict[str, Tensor]:
        return taken(self, self.entries(form))

    def compiled(self, form: str, f: nn.Module) -> nn.Module | None:
        return None
