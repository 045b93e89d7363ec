"""Chains: genes that stand together in the first sites of a backbone, and in none behind them. No torch.

    forms of a chain = x_1 .. x_d none .. none,   x_i any form but none,   d one of the chain's lengths      (1)

over its genes in the order of their sites. Depth is then searched beside the forms: a chain of n genes with m forms
besides `none` has m^d values for each length d, where n free genes have (m + 1)^n together.

Source: NOAH (arXiv 2206.04673), where each module stands in the first 3, 6, 9 or 12 of 12 blocks. There 0 is no
length; here it is, so that a search may leave a module out, and the smallest subnet is the frozen backbone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

OFF = "none"  # the form of a gene that does not stand


@dataclass(frozen=True)
class Chain:
    """Genes that stand or do not by equation (1)."""

    genes: tuple[int, ...]  # their places in a genome, in the order of their sites
    lengths: tuple[int, ...]  # how many of them may stand, ascending

    def __post_init__(self) -> None:
        ascending = list(self.lengths) == sorted(set(self.lengths)) and len(self.lengths) > 0
        assert ascending, f"lengths must be different and ascend, got {self.lengths}"
        assert self.lengths[0] >= 0, f"no length is below 0, got {self.lengths}"
        assert self.lengths[-1] <= len(self.genes), f"{len(self.genes)} genes have no length of {self.lengths[-1]}"


def lengths_of(count: int, steps: int) -> tuple[int, ...]:
    """0 and the ends of so many equal parts of `count` sites, rounded up: 0, 3, 6, 9 and 12 for 4 steps of 12."""
    return tuple(sorted({-(-count * step // steps) for step in range(steps + 1)}))


def one_of(numbers: Sequence[int]) -> str:
    """`0, 3 or 6`."""
    *others, last = (str(number) for number in numbers)
    return f"{', '.join(others)} or {last}" if others else last
