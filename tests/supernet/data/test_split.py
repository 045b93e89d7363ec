import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest

from supernet.data import Data, Split


def split(seed: int = 0, count: int = 4) -> Split:
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 256, (count, 6, 6, 3), np.uint8)
    return Split(images, np.arange(count), tuple(f"{i}.png" for i in range(count)))


def test_key_follows_contents_and_order_but_not_names() -> None:
    one = split()
    renamed = Split(one.images, one.labels, ("a", "b", "c", "d"))
    turned = Split(one.images[::-1], one.labels[::-1], one.examples[::-1])
    relabelled = Split(one.images, one.labels + 1, one.examples)
    assert one.key() == split().key() == renamed.key() == pickle.loads(pickle.dumps(one)).key()
    assert len({one.key(), turned.key(), relabelled.key(), split(1).key()}) == 4


def test_an_image_has_one_identity_in_whatever_split_it_is() -> None:
    one = split()
    turned = Split(one.images[::-1], one.labels, one.examples)
    assert one.identities().tolist() == turned.identities()[::-1].tolist()
    assert len({*one.identities().tolist(), *split(1).identities().tolist()}) == 8


def test_arrays_are_contiguous_and_read_only() -> None:
    turned = Split(split().images[::-1], split().labels[::-1], split().examples)
    assert turned.images.flags.c_contiguous
    assert turned.labels.dtype == np.int64
    with pytest.raises(ValueError, match="read-only"):
        turned.images[0] = 0


def test_a_split_travels_and_data_does_not() -> None:
    data = Data(split(), split(1), ("a",), {"test": split})
    assert len(pickle.loads(pickle.dumps(data.train))) == 4
    for travel in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="does not travel"):
            travel(data)


def test_a_split_needs_no_torch() -> None:
    code = "import sys, supernet.data, supernet.data.split; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
