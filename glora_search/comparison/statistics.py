"""How sure a difference between two methods is, from their answers to the same test examples.

    d_si = [ours right on example i under seed s] - [theirs right],   difference = mean over all (s, i) of d_si     (1)

Paired bootstrap (Efron and Tibshirani 1993, chapter 13): images are drawn with replacement, each with its answers under
all seeds in whose test split it is, since these depend on each other, and (1) is computed again, RESAMPLES times; the
interval is from the 2.5th to the 97.5th percentile. What is resampled takes few values: a resample's counts are a
multinomial draw over them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

RESAMPLES = 10_000
TAILS = (0.025, 0.975)


def differences(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray], images: Sequence[np.ndarray]) -> np.ndarray:
    """(images, 2): for each distinct image the sum of its d_si, and under how many seeds it was asked.

    ours, theirs: (n,) bool for each seed, whether an example was answered rightly; images: (n,) int for each seed,
    which image it is.
    """
    found = np.concatenate(ours).astype(int) - np.concatenate(theirs).astype(int)
    _, place = np.unique(np.concatenate(images), return_inverse=True)
    return np.stack([np.bincount(place, weights=found), np.bincount(place)], axis=1)


def difference(pairs: np.ndarray) -> float:
    """Equation (1), in [-1, 1]."""
    total, count = pairs.sum(axis=0)
    return float(total / count)


def interval(pairs: np.ndarray, generator: np.random.Generator) -> tuple[float, float]:
    """The 95% percentile interval of (1)."""
    low, high = np.quantile(resampled(pairs, generator), TAILS)
    return float(low), float(high)


def resampled(pairs: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """pairs (n, 2) -> (RESAMPLES,) of (1) for n of them, drawn with replacement."""
    distinct, first, counts = np.unique(pairs, axis=0, return_index=True, return_counts=True)
    order = np.argsort(first)  # not by size, so that values of the other sign are drawn alike
    n = len(pairs)
    drawn = generator.multinomial(n, counts[order] / n, size=RESAMPLES)  # (RESAMPLES, distinct)
    totals = drawn @ distinct[order]  # (RESAMPLES, 2)
    found: np.ndarray = totals[:, 0] / totals[:, 1]
    return found
