"""SSF: scale and shift the features after an op, y = gamma * (W0 x + b0) + beta.

    W = gamma * W0,   b = gamma * b0 + beta       gamma, beta (out,), gamma along the rows     (1)

gamma is kept as gain = gamma - 1, so that identity is zero. It starts there; with `start: source` as the paper's code
draws it, gamma from N(1, 0.02^2) and beta from N(0, 0.02^2), and the model is then not the backbone at the start.
Costs 2 out. Holds at Linears, at the patch embedding's Conv2d and at LayerNorms (whose W0 is a vector).
Source: SSF (arXiv 2210.08823) section 3.2; dongzelian/SSF.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from supernet.choices.reweight import Index, Rows, Terms
from supernet.choices.slices import EVERY, NONE, normal, taken
from supernet.space import Form
from supernet.strict import Settings

STD = 0.02


class SSF(nn.Module):
    """A scale and a shift of every output, or none."""

    class Options(Settings):
        """What a row may set."""

        start: Literal["identity", "source"] = Field(default="identity", description="how gamma and beta start")

    on, needs_bias, weighs = ("linear", "conv", "norm"), True, True

    def __init__(self, out: int, width: int, options: Options, generator: torch.Generator) -> None:
        super().__init__()
        std = STD if options.start == "source" else 0.0
        self.gain, self.shift = (normal(out, std=std, generator=generator) for _ in range(2))
        self.forms = (Form("ssf", "1", 2 * out), NONE)

    def delta(self, form: str, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        return weight * self.gain[:, None], bias * self.gain + self.shift

    def terms(self, form: str, weight: Tensor, bias: Tensor) -> Terms:
        return Terms(gain=self.gain[:, None], bias=bias * self.gain + self.shift)

    def add(self, form: str, rows: Rows, weight: Tensor) -> Tensor:
        assert rows.bias is not None, "SSF is left out of the space of a layer without a bias"
        assert rows.merged_bias is not None
        gain = self.gain[rows.at]
        rows.merged_bias.addcmul_(rows.bias, gain).add_(self.shift[rows.at])
        return torch.addcmul(weight, rows.weight, gain[:, None], out=rows.merged_weight)

    def entries(self, form: str) -> Iterable[tuple[str, Index]]:
        return [] if form == "none" else [("gain", (EVERY,)), ("shift", (EVERY,))]

    def stored(self, form: str) -> dict[str, Tensor]:
        return taken(self, self.entries(form))
