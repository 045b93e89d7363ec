"""What chance explains, counted."""

from __future__ import annotations

import numpy as np
import pytest

from glora_search.statistics import mcnemar


def bits(*right: int) -> bytes:
    return np.packbits(np.array(right, dtype=bool)).tobytes()


def test_equal_answers_differ_by_chance() -> None:
    assert mcnemar(bits(1, 0, 1), bits(1, 0, 1), 3) == 1


def test_only_examples_that_one_alone_has_right_count() -> None:
    both = (1,) * 20 + (0,) * 20
    for one, other in ((both + (1,) * 5, both + (0,) * 5), (both + (0,) * 5, both + (1,) * 5)):
        assert mcnemar(bits(*one), bits(*other), 45) == pytest.approx(2 / 2**5)
    assert mcnemar(bits(1, 1, 0), bits(0, 0, 1), 3) == 1
