import numpy as np
import pytest
from sklearn.datasets import load_digits

from supernet.data import digits, load_data
from supernet.errors import BadInput
from supernet.settings import DataSettings


def test_three_parts_make_up_the_whole_set_and_share_nothing() -> None:
    data = load_data(DataSettings(source="digits", train=800, val=200), 8)
    test = data.tests["test"]()
    assert (len(data.train), len(data.val), len(test)) == (800, 200, 797)
    assert len({*data.train.examples, *data.val.examples, *test.examples}) == 1797
    assert data.classes == tuple("0123456789")
    assert np.bincount(data.val.labels).min() >= 19


def test_the_brightest_value_is_white_and_size_is_as_asked() -> None:
    data = load_data(DataSettings(source="digits", train=20, val=10), 8)
    assert data.train.images.shape == (20, 8, 8, 3)
    assert (data.train.images.min(), data.train.images.max()) == (0, 255)
    assert load_data(DataSettings(source="digits", train=20, val=10), 28).val.images.shape == (10, 28, 28, 3)


def test_the_seed_decides_the_splits() -> None:
    first, again, other = (
        load_data(DataSettings(source="digits", train=50, val=50, seed=seed), 8) for seed in (3, 3, 4)
    )
    assert first.train.key() == again.train.key()
    assert first.val.key() == again.val.key()
    assert first.train.key() != other.train.key()


def test_a_missing_scikit_learn_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digits, "find_spec", lambda name: None)
    digits._digits.cache_clear()
    with pytest.raises(BadInput, match=r"pip install 'glora-search\[demo\]'"):
        load_data(DataSettings(source="digits"), 8)


def test_they_are_the_digits_that_scikit_learn_loads() -> None:
    bunch = load_digits()
    images, labels = digits._digits()
    assert np.array_equal(images, bunch.images)
    assert np.array_equal(labels, bunch.target)


def test_no_room_for_a_test_set_is_refused() -> None:
    with pytest.raises(BadInput, match=r"1597.*200.*1797"):
        load_data(DataSettings(source="digits", train=1597, val=200), 8)
