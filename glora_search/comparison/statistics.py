"""How sure a difference between two methods is, from their answers to the same test examples.

    d_si = [ours right on example i under seed s] - [theirs right],   difference = mean over s and i of d_si       (1)

Paired bootstrap (Efron and Tibshirani 1993, chapter 13): examples are drawn with replacement and (1) is computed again,
RESAMPLES times; the interval is from the 2.5th to the 97.5th percentile. Where all seeds have one test split, an
example is drawn with its answers under all of them, since these depend on each other; where splits differ, examples are
drawn within each seed. What is resampled takes few values: a resample's counts are a multinomial draw over them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

RESAMPLES = 10_000
TAILS = (0.025, 0.975)


def differences(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray], *, one_split: bool) -> list[np.ndarray]:
    """d_si of each seed, (n,) int each; with `one_split` their mean over seeds, which is one of (n,).

    ours, theirs: (n,) bool for each seed, whether an example was answered rightly.
    """
    found = [mine.astype(int) - other.astype(int) for mine, other in zip(ours, theirs, strict=True)]
    return [np.mean(found, axis=0)] if one_split else found


def difference(groups: Sequence[np.ndarray]) -> float:
    """Equation (1), in [-1, 1]."""
    return float(np.mean([group.mean() for group in groups]))


def interval(groups: Sequence[np.ndarray], generator: np.random.Generator) -> tuple[float, float]:
    """The 95% percentile interval of (1)."""
    means = np.mean([resampled(group, generator) for group in groups], axis=0)  # (RESAMPLES,)
    low, high = np.quantile(means, TAILS)
    return float(low), float(high)


def resampled(values: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """values (n,) -> (RESAMPLES,) means of n of them, drawn with replacement."""
    distinct, first, counts = np.unique(values, return_index=True, return_counts=True)
    order = np.argsort(first)  # not by size, so that values of the other sign are drawn alike
    n = len(values)
    drawn = generator.multinomial(n, counts[order] / n, size=RESAMPLES)  # (RESAMPLES, distinct)
    means: np.ndarray = drawn @ distinct[order] / n
    return means
