"""How sure a figure on few examples is."""

from __future__ import annotations

from math import comb

import numpy as np


def mcnemar(ours: bytes, theirs: bytes, examples: int) -> float:
    """Exact two-sided p-value that two models which answered the same examples are equally good.

        p = min(1, 2 P(X <= min(b, c))),   X ~ Binomial(b + c, 1/2)

    b, c: examples that only the one, and only the other answered rightly. ours, theirs: one bit an example,
    numpy.packbits order. Source: McNemar 1947, in its exact form.
    """
    mine, other = (np.unpackbits(np.frombuffer(bits, np.uint8), count=examples) for bits in (ours, theirs))
    b, c = int((mine > other).sum()), int((mine < other).sum())
    extreme = sum(comb(b + c, k) for k in range(min(b, c) + 1))  # of 2 ** (b + c) ways to disagree
    return float(min(1.0, 2 * extreme / 2 ** (b + c)))
