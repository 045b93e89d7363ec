"""Lossless racing: stop looking at a candidate that cannot matter any more, whatever its remaining examples say.

After some examples of n, with `correct` right and `loss` summed, at best all the others are right at no loss:

    accuracy <= (correct + n - seen) / n,      loss >= loss so far / n                         (1)

The key of (1) is the best that the candidate could have, whichever of the two is ranked first. It is hopeless once, at
(1), all of this holds:

    survival   evolution, random: as many known candidates as there are places have a better key (see ranking);
               nsga2: as many members of the selection pool as there are places dominate it in (accuracy, parameters)
    choice     as many known candidates as there are finalists have a better key
    front      a known candidate dominates it in (accuracy, parameters)

An equal key is not a better one. What is known is what completed of certain earlier proposals, so that who is raced is
a function of the seed and not of arrival, and since (1) bounds what would have been measured, the survivors, the
finalists and the front are those of a search that races nobody. Hard examples come first, which only decides how soon a
candidate is dropped. The method that training kept near is never dropped, since it may be
chosen without being among the best (choice.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from glora_search.ranking import Key, Rank, key
from supernet.evaluation import QUANTUM, Partial

Point = tuple[float, int]  # accuracy in [0, 1], parameters


@dataclass(frozen=True)
class Rule:
    """What a worker is told: equation (1) against places that stand still. It travels, so it is small."""

    order: np.ndarray  # (n,) the examples, hardest first
    rank: Rank
    last: Key  # of the last place that a key can take
    front: tuple[Point, ...]  # of the known candidates
    pool: tuple[Point, ...] = ()  # nsga2: of the selection pool
    places: int = 0  # nsga2: in it

    def __call__(self, partial: Partial) -> bool:
        """Whether the candidate is hopeless."""
        accuracy = (partial.correct + partial.total - partial.seen) / partial.total
        best = accuracy, partial.parameters
        return (
            key(self.rank, accuracy, partial.loss * QUANTUM / partial.total) < self.last
            and any(dominates(known, best) for known in self.front)
            and sum(dominates(known, best) for known in self.pool) >= self.places
        )


def dominates(one: Point, other: Point) -> bool:
    """At least as accurate and as small, and better in one of them."""
    return one[0] >= other[0] and one[1] <= other[1] and one != other


def mistakes(correct: Sequence[bytes], examples: int) -> np.ndarray:
    """(n,) how many got each example wrong. `correct` holds one bit an example, in numpy.packbits order."""
    wrong = np.zeros(examples, dtype=np.int64)
    for bits in correct:
        wrong += 1 - np.unpackbits(np.frombuffer(bits, dtype=np.uint8), count=examples)
    return wrong


def hardest_first(wrong: np.ndarray) -> np.ndarray:
    """(n,) the examples, those first that were wrong most often, and in the split's order where that is the same."""
    return np.argsort(-wrong, kind="stable").astype(np.int32)  # it travels with each candidate
