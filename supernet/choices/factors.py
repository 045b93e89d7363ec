"""Entangled storage: a LoRA product, a vector and a scalar that share one pair of factors (or do not).

    lora_k = s * down[:, :k] @ up[:k]   (rows, columns)
    vector = s * down[:, :1]            (rows, 1)
    scalar = s * down[:1, :1]           (1, 1)                                               (1)

with down (rows, r), up (r, columns), r the largest rank and s the form's fixed scale. Down starts at zero and up is
drawn Xavier-uniform, so every form starts at zero and every tensor gets a gradient. With separate storage vector and
scalar have tensors of their own. Source: GLoRA (arXiv 2306.07967) section 3.2; Arnav0400/ViT-Slim at 0fed674.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import sqrt

import torch
from torch import Tensor, nn

from supernet.choices.reweight import Index, Rows
from supernet.choices.slices import NONE, sized
from supernet.space import Form


def rank_of(form: str) -> int:
    """lora8 -> 8."""
    return int(form.removeprefix("lora"))


class Factors(nn.Module):
    """The shared numbers of one gene whose forms are LoRA products, a vector and a scalar (the scalar optional)."""

    def __init__(
        self,
        rows: int,
        columns: int,
        ranks: tuple[int, ...],
        *,
        scalar: bool,
        shared: bool,
        scales: Mapping[str, float],
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.rows, self.columns, self.shared, self.scales = rows, columns, shared, dict(scales)
        rank = max(ranks)
        bound = sqrt(6.0 / (rank + columns))  # Xavier-uniform
        self.down = nn.Parameter(torch.zeros(rows, rank))
        self.up = nn.Parameter((torch.rand(rank, columns, generator=generator) * 2 - 1) * bound)
        if not shared:
            self.vector = nn.Parameter(torch.zeros(rows, 1))
            if scalar:
                self.scalar = nn.Parameter(torch.zeros(1, 1))
        ones = (Form("scalar", "s", 1),) if scalar else ()
        self.forms = (*sized("lora", ranks, lambda k: k * (rows + columns)), Form("vector", "v", rows), *ones, NONE)

    def factors(self, form: str) -> tuple[Tensor, Tensor]:
        """(s * down[:, :k] (rows, k), up[:k] (k, columns)) of a LoRA form."""
        k = rank_of(form)
        return self._scaled(form, self.down[:, :k]), self.up[:k]

    def value(self, form: str) -> Tensor:
        """Equation (1): (rows, columns), (rows, 1) or (1, 1)."""
        if form == "vector":
            return self._scaled(form, self.down[:, :1] if self.shared else self.vector)
        if form == "scalar":
            return self._scaled(form, self.down[:1, :1] if self.shared else self.scalar)
        down, up = self.factors(form)
        return down @ up

    def rows_of(self, form: str, rows: Rows) -> Tensor:
        """The rows of `value`, (rows, columns), (rows, 1) or (1, 1); a LoRA product is written into their scratch."""
        if form == "scalar":
            return self.value(form)
        if form == "vector":
            return self.value(form)[rows.at]
        down, up = self.factors(form)
        return torch.mm(down[rows.at], up, out=rows.scratch)

    def entries(self, form: str) -> Iterable[tuple[str, Index]]:
        """(parameter name, slices) that `form` uses."""
        every, first = slice(None), slice(0, 1)
        if form == "vector":
            return [("down", (every, first)) if self.shared else ("vector", (every, every))]
        if form == "scalar":
            return [("down", (first, first)) if self.shared else ("scalar", (every, every))]
        if form == "none":
            return []
        k = slice(0, rank_of(form))
        return [("down", (every, k)), ("up", (k, every))]

    def stored(self, form: str) -> dict[str, Tensor]:
        """The numbers of `form`, scaled: down and up, or a vector, or a scalar."""
        if form == "none":
            return {}
        return (
            {form: self.value(form)}
            if form in ("vector", "scalar")
            else dict(zip(("down", "up"), self.factors(form), strict=True))
        )

    def _scaled(self, form: str, value: Tensor) -> Tensor:
        scale = self.scales.get(form, 1.0)
        return value if scale == 1.0 else value * scale


class Shift(nn.Module):
    """A vector (rows,) whose first number is also the scalar, or has a scalar of its own. Starts at zero."""

    def __init__(self, rows: int, *, shared: bool) -> None:
        super().__init__()
        self.rows, self.shared = rows, shared
        self.down = nn.Parameter(torch.zeros(rows))
        if not shared:
            self.scalar = nn.Parameter(torch.zeros(1))
        self.forms = (Form("vector", "v", rows), Form("scalar", "s", 1), NONE)

    def value(self, form: str) -> Tensor:
        """(rows,) or (1,)."""
        if form == "vector":
            return self.down
        return self.down[:1] if self.shared else self.scalar

    def rows_of(self, form: str, rows: Rows) -> Tensor:
        """(rows,) or (1,)."""
        return self.value(form)[rows.at] if form == "vector" else self.value(form)

    def entries(self, form: str) -> Iterable[tuple[str, Index]]:
        """(parameter name, slices) that `form` uses."""
        if form == "vector":
            return [("down", (slice(None),))]
        if form == "scalar":
            return [("down", (slice(0, 1),)) if self.shared else ("scalar", (slice(None),))]
        return []

    def stored(self, form: str) -> dict[str, Tensor]:
        """The numbers of `form`: a vector or a scalar."""
        return {} if form == "none" else {form: self.value(form)}
