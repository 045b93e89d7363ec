"""What chance explains."""

from __future__ import annotations

from math import comb


def mcnemar(ours: bytes, theirs: bytes, examples: int) -> float:
    """Two-sided exact p of two models' answers to the same examples, a bit each (numpy.packbits order). McNemar 1947.

    Only the examples that one of them alone has right count: with no difference each model has a half of them.
    """
    one, other = (int.from_bytes(bits, "big") >> (8 * len(bits) - examples) for bits in (ours, theirs))
    only_ours, only_theirs = (one & ~other).bit_count(), (other & ~one).bit_count()
    n = only_ours + only_theirs
    tail = sum(comb(n, k) for k in range(min(only_ours, only_theirs) + 1))
    return min(1.0, float(2 * tail / 2**n))
