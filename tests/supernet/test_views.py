"""Altered copies of a split: each image so often, from the seed alone, and a split like any other."""

from __future__ import annotations

import numpy as np
import pytest

from supernet.data import Split
from supernet.views import views

COUNT = 7


@pytest.fixture(scope="module")
def split() -> Split:
    images = np.random.default_rng(0).integers(0, 256, (COUNT, 16, 16, 3), dtype=np.uint8)
    return Split(images, np.arange(COUNT) % 3, tuple(f"{number}.png" for number in range(COUNT)))


def test_every_image_is_there_so_often_with_its_label(split: Split) -> None:
    found = views(split, ("shift",), 3, seed=0)
    assert len(found) == 3 * COUNT
    assert found.labels.reshape(3, COUNT).tolist() == [split.labels.tolist()] * 3
    assert found.examples[COUNT] == "0.png, view 2"
    assert len(set(found.examples)) == 3 * COUNT


def test_each_copy_is_altered_in_its_own_way(split: Split) -> None:
    found = views(split, ("shift",), 3, seed=0).images
    assert len({image.tobytes() for image in [*split.images, *found]}) == 4 * COUNT


def test_views_are_a_function_of_the_seed_and_more_of_them_begin_as_fewer(split: Split) -> None:
    few, more, other = (views(split, ("crop", "color"), *sizes) for sizes in ((2, 0), (3, 0), (2, 1)))
    assert np.array_equal(few.images, more.images[: 2 * COUNT])
    assert not np.array_equal(few.images, other.images)


def test_a_flip_shows_each_image_or_its_mirror_image(split: Split) -> None:
    for original, *seen in zip(split.images, *np.split(views(split, ("flip",), 4, seed=0).images, 4), strict=True):
        both = [original, original[:, ::-1]]
        assert all(any(np.array_equal(view, each) for each in both) for view in seen)


def test_the_size_of_parts_changes_no_flip(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = views(split, ("flip",), 2, seed=0)
    monkeypatch.setattr("supernet.views.AT_ONCE", 2)
    assert np.array_equal(views(split, ("flip",), 2, seed=0).images, whole.images)
