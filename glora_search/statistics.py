"""How sure a comparison is: intervals of a proportion, and tests of two subnets that saw the same examples.

With b examples that only the one got right and c that only the other did, of n in all:

    wilson        (p + z^2/2n +- z sqrt(p (1 - p)/n + z^2/4n^2)) / (1 + z^2/n)                  (1)
    mcnemar       min(1, 2 P[X <= min(b, c)]),  X ~ Binomial(b + c, 1/2)                        (2)
    paired_error  s / sqrt(n),  s^2 = sum (d_i - mean d)^2 / (n - 1)                            (3)

Examples that both got right, or both wrong, say nothing about which is better, so (2) leaves them out. Sources: Wilson,
JASA 22, 1927; McNemar, Psychometrika 12, 1947, in its exact form; (3) is the standard error of a mean of differences.
"""

from __future__ import annotations

from math import sqrt

import numpy as np

TIED = 0.05  # the p-value above which two subnets are said to be tied


def wilson(correct: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """95% interval of a proportion `correct` (in [0, 1]) of n examples, by (1)."""
    centre = (correct + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(correct * (1 - correct) / n + z * z / (4 * n * n))
    return max(0.0, min(centre - half, correct)), min(1.0, max(centre + half, correct))  # rounding may not leave it out


def mcnemar(ours: bytes, theirs: bytes, n: int) -> float:
    """Two-sided p-value of (2): that both are right equally often. One bit an example, numpy.packbits order."""
    one, other = (np.unpackbits(np.frombuffer(bits, dtype=np.uint8), count=n) for bits in (ours, theirs))
    return binomial_test(int((one > other).sum()), int((other > one).sum()))


def binomial_test(b: int, c: int) -> float:
    """Equation (2), in whole numbers until the last division."""
    tail, chance = 0, 1  # sum of the binomial coefficients so far, and the next one
    for k in range(min(b, c) + 1):
        tail += chance
        chance = chance * (b + c - k) // (k + 1)
    return min(1.0, float(2 * tail / (1 << (b + c))))


def paired_error(differences: np.ndarray) -> float:
    """Standard error of the mean of (n,) paired differences, by (3); infinite for fewer than two."""
    n = len(differences)
    return float(np.std(differences, ddof=1) / sqrt(n)) if n > 1 else float("inf")
