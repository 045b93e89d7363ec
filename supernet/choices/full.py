"""Full fine-tuning of an op's weight, as a dense change that merges.

    W = W0 + shift       shift (out, in), zero at the start, costs out * in                  (1)

Its bias is BitFit's; the class token and the position embedding are no ops, and stay frozen. Weight decay pulls towards
W0 here, not towards zero.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from supernet.choices.reweight import Index, Rows, Terms
from supernet.choices.slices import EVERY, NONE, taken, zeros
from supernet.space import Form
from supernet.strict import Settings


class Full(nn.Module):
    """Every number of the weight, or none."""

    class Options(Settings):
        """There are none."""

    on, needs_bias, weighs = ("linear", "conv", "norm"), False, True

    def __init__(self, out: int, width: int, options: Options, generator: torch.Generator) -> None:
        super().__init__()
        self.shift = zeros(out, width)
        self.forms = (Form("full", "1", out * width), NONE)

    def delta(self, form: str, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, None]:
        return self.shift, None

    def terms(self, form: str, weight: Tensor, bias: Tensor | None) -> Terms:
        return Terms(dense=self.shift)

    def add(self, form: str, rows: Rows, weight: Tensor) -> Tensor:
        return torch.add(weight, self.shift[rows.at], out=rows.merged_weight)

    def entries(self, form: str) -> Iterable[tuple[str, Index]]:
        return [] if form == "none" else [("shift", (EVERY, EVERY))]

    def stored(self, form: str) -> dict[str, Tensor]:
        return taken(self, self.entries(form))
