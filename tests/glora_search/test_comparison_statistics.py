"""How sure a difference is: laws of the paired bootstrap, and a slow exact computation."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from glora_search.comparison.statistics import difference, differences, interval, resampled

Answers = list[np.ndarray]
FEW = settings(max_examples=30)


def pairs_of(ours: Answers, theirs: Answers, one: bool) -> np.ndarray:
    """The seeds ask the same images, or each its own."""
    n = len(ours[0])
    return differences(ours, theirs, [np.arange(n) + (0 if one else n * seed) for seed in range(len(ours))])


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


@st.composite
def answers(draw: st.DrawFn) -> tuple[Answers, Answers]:
    """Two methods' answers to the same examples under one to three seeds."""
    shape = draw(st.integers(1, 3)), draw(st.integers(1, 60))
    ours, theirs = draw(arrays(bool, shape)), draw(arrays(bool, shape))
    return list(ours), list(theirs)


@FEW
@given(answers(), st.booleans())
def test_the_interval_of_theirs_against_ours_is_the_mirrored_one(both: tuple[Answers, Answers], one: bool) -> None:
    ours, theirs = both
    there = interval(pairs_of(ours, theirs, one), generator())
    back = interval(pairs_of(theirs, ours, one), generator())
    assert there == pytest.approx((-back[1], -back[0]), abs=1e-12)


@FEW
@given(answers(), st.booleans())
def test_the_interval_holds_the_mean_difference_which_has_no_order(both: tuple[Answers, Answers], one: bool) -> None:
    ours, theirs = both
    groups = pairs_of(ours, theirs, one)
    low, high = interval(groups, generator())
    assert -1 - 1e-9 <= low <= difference(groups) + 1e-9
    assert difference(groups) - 1e-9 <= high <= 1 + 1e-9
    assert difference(groups) == pytest.approx(np.mean(ours) - np.mean(theirs))


@FEW
@given(answers(), st.booleans())
def test_identical_answers_differ_by_nothing_for_sure(both: tuple[Answers, Answers], one: bool) -> None:
    assert interval(pairs_of(both[0], both[0], one), generator()) == (0.0, 0.0)


@pytest.mark.parametrize("one", [True, False])
def test_more_examples_narrow_the_interval(one: bool) -> None:
    """Four times as many of the same kind: about half as wide."""
    draw = np.random.default_rng(1)
    ours, theirs = draw.random((2, 2, 400)) < np.array([0.9, 0.8])[:, None, None]
    wide, narrow = (
        interval(pairs_of(list(np.tile(ours, times)), list(np.tile(theirs, times)), one), generator())
        for times in (1, 4)
    )
    assert (narrow[1] - narrow[0]) / (wide[1] - wide[0]) == pytest.approx(0.5, abs=0.05)


def test_seeds_of_one_split_are_no_more_examples() -> None:
    """The same answers under three seeds say as much as under one; on three splits they would say more."""
    draw = np.random.default_rng(2)
    ours, theirs = draw.random((2, 200)) < 0.8
    alone = interval(pairs_of([ours], [theirs], True), generator())
    again = interval(pairs_of([ours] * 3, [theirs] * 3, True), generator())
    split = interval(pairs_of([ours] * 3, [theirs] * 3, False), generator())
    assert alone == pytest.approx(again, abs=1e-12)
    assert (split[1] - split[0]) / (alone[1] - alone[0]) == pytest.approx(3**-0.5, abs=0.06)


def test_an_image_of_several_splits_is_drawn_with_all_its_answers() -> None:
    """Where two splits share half of their images the interval is between those of one split and of two."""
    answered = np.random.default_rng(3).random((2, 800)) < 0.8
    widths = []
    for shift in (0, 200, 400):
        images = [np.arange(400), np.arange(400) + shift]
        ours, theirs = ([each[places] for places in images] for each in answered)
        pairs = differences(ours, theirs, images)
        low, high = interval(pairs, generator())
        widths.append(high - low)
        assert difference(pairs) == pytest.approx(np.mean(ours) - np.mean(theirs))
    assert np.array(widths) / widths[0] == pytest.approx(np.sqrt([1, 0.75, 0.5]), abs=0.06)


@pytest.mark.parametrize("values", [(1, 0, 0, -1), (1, 1, 0, 0), (1, 0.5, -0.5, 0, 0), (1, 1, 1, 1)])
def test_resampled_means_are_distributed_as_all_resamples_are(values: Sequence[float]) -> None:
    every = np.array([np.mean(resample) for resample in product(values, repeat=len(values))])
    found = resampled(np.stack([values, np.ones(len(values))], axis=1), generator())
    for place in np.unique(every):
        assert (found <= place + 1e-9).mean() == pytest.approx((every <= place + 1e-9).mean(), abs=0.02)
