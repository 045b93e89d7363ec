"""BitFit: the biases are trained, and nothing else.

    b = b0 + shift       shift (out,), zero at the start, costs out                          (1)

Of Linears, of the patch embedding and of LayerNorms. The k third of a qkv bias adds the same number to every logit of a
query, so that its gradient vanishes in exact arithmetic (without q and k norms). Source: BitFit (arXiv 2106.10199).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from supernet.choices.reweight import Index, Rows, Terms
from supernet.choices.slices import EVERY, NONE, taken, zeros
from supernet.space import Form
from supernet.strict import Settings


class BitFit(nn.Module):
    """A shift of the bias, or none."""

    class Options(Settings):
        """There are none."""

    on, needs_bias, weighs = ("linear", "conv", "norm"), True, False

    def __init__(self, out: int, width: int, options: Options, generator: torch.Generator) -> None:
        super().__init__()
        self.shift = zeros(out)
        self.forms = (Form("vector", "v", out), NONE)

    def delta(self, form: str, weight: Tensor, bias: Tensor | None) -> tuple[None, Tensor]:
        return None, self.shift

    def terms(self, form: str, weight: Tensor, bias: Tensor | None) -> Terms:
        return Terms(bias=self.shift)

    def add(self, form: str, rows: Rows, weight: Tensor) -> Tensor:
        assert rows.merged_bias is not None, "BitFit is left out of the space of a layer without a bias"
        rows.merged_bias.add_(self.shift[rows.at])
        return weight

    def entries(self, form: str) -> Iterable[tuple[str, Index]]:
        return [] if form == "none" else [("shift", (EVERY,))]

    def stored(self, form: str) -> dict[str, Tensor]:
        return taken(self, self.entries(form))
