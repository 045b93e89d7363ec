import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supernet.data.stratified import draw
from supernet.errors import BadInput

SIZES = st.lists(st.integers(1, 30), min_size=1, max_size=8)


@given(SIZES, st.data())
def test_every_example_is_in_exactly_one_part_of_the_size_asked_for(sizes: list[int], data: st.DataObject) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    train = data.draw(st.integers(0, len(labels) - 1))
    val = data.draw(st.integers(0, len(labels) - 1 - train))
    drawn = draw(labels, train, val, data.draw(st.integers(0, 9)), "pool")
    assert (len(drawn.train), len(drawn.val)) == (train, val)
    assert sorted([*drawn.train, *drawn.val, *drawn.rest]) == list(range(len(labels)))
    if train >= len(sizes):
        assert set(labels[drawn.train]) == set(labels), "every class is seen in training"


def test_classes_keep_their_proportions() -> None:
    labels = np.repeat([0, 1], [300, 100])
    drawn = draw(labels, 200, 40, 0, "pool")
    assert np.bincount(labels[drawn.train]).tolist() == [150, 50]
    assert np.bincount(labels[drawn.val]).tolist() == [30, 10]


def test_a_class_of_one_goes_to_train_and_a_class_of_two_to_train_and_val() -> None:
    labels = np.repeat([0, 1, 2], [1, 2, 97])
    drawn = draw(labels, 20, 20, 0, "pool")
    assert np.bincount(labels[drawn.train], minlength=3).tolist()[:2] == [1, 1]
    assert np.bincount(labels[drawn.val], minlength=3).tolist()[:2] == [0, 1]


def test_the_seed_decides() -> None:
    labels = np.repeat([0, 1], 50)
    first, again, other = (draw(labels, 20, 20, seed, "pool") for seed in (0, 0, 1))
    assert np.array_equal(first.train, again.train)
    assert np.array_equal(first.val, again.val)
    assert not np.array_equal(first.train, other.train)


def test_too_many_asked_for_is_refused_with_the_numbers() -> None:
    with pytest.raises(BadInput, match=r"pool: data.train 6 \+ data.val 4 \+ at least 1 for test .* 10 examples"):
        draw(np.zeros(10, np.int64), 6, 4, 0, "pool")
    assert len(draw(np.zeros(10, np.int64), 6, 4, 0, "pool", keep=0).rest) == 0
