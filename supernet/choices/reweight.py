"""The Reweight half of the abstraction: a choice that changes the numbers of an op and nothing else.

    delta(form, W0, b0) -> (dW, db)                                                          (1)

Whatever implements (1) merges by construction. `add` computes it into tensors that are there already, some rows at a
time, and every merge is made of it; `terms` says the same in factors, where that is cheaper than a dense dW. Law tests
hold the three equal.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from supernet.space import Form
from supernet.strict import Settings

Index = tuple[slice, ...]  # one slice a dimension of a parameter


@dataclass(frozen=True)
class Terms:
    """What one choice changes of y = x W0^T + b0, each part None where it is absent. Terms of one op add.

    W = W0 * (1 + gain) + down @ up + dense,   b = b0 + bias                                 (2)
    """

    gain: Tensor | None = None  # (out, in), (out, 1), (1, in) or (1, 1)
    down: Tensor | None = None  # (out, k)
    up: Tensor | None = None  # (k, in)
    bias: Tensor | None = None  # (out,)
    dense: Tensor | None = None  # (out, in), where nothing smaller says it

    def __add__(self, other: Terms) -> Terms:
        return Terms(
            gain=added(self.gain, other.gain),
            down=_beside(self.down, other.down, dim=1),
            up=_beside(self.up, other.up, dim=0),
            bias=added(self.bias, other.bias),
            dense=added(self.dense, other.dense),
        )


def added(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    """The sum of what is there."""
    return b if a is None else a if b is None else a + b


def _beside(a: Tensor | None, b: Tensor | None, dim: int) -> Tensor | None:
    return b if a is None else a if b is None else torch.cat([a, b], dim)


@dataclass(frozen=True)
class Rows:
    """Some output rows of an op: the original numbers, and room for a subnet's."""

    at: slice  # of the op's rows
    weight: Tensor  # (rows, in), of W0
    bias: Tensor | None  # (rows,), of b0
    merged_weight: Tensor  # (rows, in), written
    merged_bias: Tensor | None  # (rows,), starts as b0 and is added to in place
    scratch: Tensor  # (rows, in), for whoever needs a dense value


class Reweight(Protocol):
    """A gene at an op site. Its parameters are bare nn.Parameters, entangled: smaller forms are slices of larger.

    It is built from (out, in, options, generator). The weight of a Conv2d is seen as (out, in * height * width), that
    of a LayerNorm as (out, 1).
    """

    Options: ClassVar[type[Settings]]
    on: ClassVar[tuple[str, ...]]  # kinds of ops that it can change: `linear`, `conv`, `norm`
    needs_bias: ClassVar[bool]  # it changes the bias, so that an op without one cannot hold it once merged
    weighs: ClassVar[bool]  # it changes the weight
    forms: tuple[Form, ...]

    def delta(self, form: str, weight: Tensor, bias: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """(dW, db) of equation (1); dW broadcasts to (out, in), db to (out,). W0 (out, in), b0 (out,) or None."""

    def add(self, form: str, rows: Rows, weight: Tensor) -> Tensor:
        """Equation (1) for some rows, without allocating any: (rows, in) of weight + dW, in one pass where it can be.

        `weight` holds the sum so far: W0's own rows, which are left as they are, or the merged ones. The result is in
        the merged ones, or is `weight` itself where dW is None. The merged bias gets db.
        """

    def terms(self, form: str, weight: Tensor, bias: Tensor | None) -> Terms:
        """The same, as the cheapest terms of equation (2)."""

    def entries(self, form: str) -> Iterable[tuple[str, Index]]:
        """(parameter name, slices) of the numbers that `form` uses: as many as its cost, `form.parameters`."""

    def stored(self, form: str) -> dict[str, Tensor]:
        """The same numbers with the form's scale multiplied in, as a delta file keeps them; nothing for `none`."""
