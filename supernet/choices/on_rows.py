"""A Reweight on some rows of an op, such as the q third of a fused qkv: its deltas are written into those rows.

dW[rows], db[rows] = delta(form, W0[rows], b0[rows]);   0 elsewhere                      (1)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn

from supernet.choices.reweight import Index, Reweight, Rows, Terms
from supernet.space import Form


class OnRows(nn.Module):
    """A choice for `rows` of an op, seen as a choice for the whole op."""

    def __init__(self, choice: Reweight, rows: slice) -> None:
        super().__init__()
        self.choice, self.rows = cast(nn.Module, choice), rows
        self.forms: tuple[Form, ...] = choice.forms

    @property
    def needs_bias(self) -> bool:
        """As the choice does."""
        return self._choice.needs_bias

    @property
    def weighs(self) -> bool:
        """As the choice does."""
        return self._choice.weighs

    @property
    def _choice(self) -> Reweight:
        return cast(Reweight, self.choice)

    def delta(self, form: str, weight: Tensor, bias: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """Equation (1)."""
        dw, db = self._choice.delta(form, weight[self.rows], None if bias is None else bias[self.rows])
        whole = None if dw is None else self._padded(dw.expand_as(weight[self.rows]), len(weight))
        return whole, None if db is None or bias is None else self._padded(db, len(bias))

    def add(self, form: str, rows: Rows, weight: Tensor) -> Tensor:
        """Equation (1) where the rows meet those of the choice."""
        first = rows.at.start
        start, stop = max(first, self.rows.start), min(first + len(rows.weight), self.rows.stop)
        if start >= stop:
            return weight
        if weight is not rows.merged_weight:
            rows.merged_weight.copy_(weight)
        here = slice(start - first, stop - first)
        part = Rows(
            at=slice(start - self.rows.start, stop - self.rows.start),
            weight=rows.weight[here],
            bias=None if rows.bias is None else rows.bias[here],
            merged_weight=rows.merged_weight[here],
            merged_bias=None if rows.merged_bias is None else rows.merged_bias[here],
            scratch=rows.scratch[here],
        )
        self._choice.add(form, part, part.merged_weight)
        return rows.merged_weight

    def terms(self, form: str, weight: Tensor, bias: Tensor | None) -> Terms:
        """Equation (1), in terms: what scales or shifts other rows is zero there."""
        of_rows = self._choice.terms(form, weight[self.rows], None if bias is None else bias[self.rows])
        count, out = self.rows.stop - self.rows.start, len(weight)
        gain = of_rows.gain
        if gain is not None and len(gain) < count:
            gain = gain.expand(count, -1)
        return Terms(
            gain=self._padded(gain, out),
            down=self._padded(of_rows.down, out),
            up=of_rows.up,
            bias=self._padded(of_rows.bias, out),
            dense=self._padded(of_rows.dense, out),
        )

    def entries(self, form: str) -> Iterable[tuple[str, Index]]:
        """Those of the choice."""
        return [(f"choice.{name}", index) for name, index in self._choice.entries(form)]

    def stored(self, form: str) -> dict[str, Tensor]:
        """Those of the choice."""
        return self._choice.stored(form)

    def _padded(self, part: Tensor | None, out: int) -> Tensor | None:
        """(rows, ...) -> (out, ...)."""
        if part is None:
            return None
        whole = part.new_zeros(out, *part.shape[1:])
        return torch.cat([whole[: self.rows.start], part, whole[self.rows.stop :]])
