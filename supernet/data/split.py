"""What training, search and report read: named splits of decoded images, as numpy arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NoReturn

import numpy as np


@dataclass(frozen=True, eq=False)
class Split:
    """Examples in memory, as they travel to workers: uint8, not normalised. The arrays are read-only."""

    images: np.ndarray  # (n, size, size, 3) uint8 RGB, contiguous
    labels: np.ndarray  # (n,) int64, in [0, classes)
    examples: tuple[str, ...]  # where each came from, relative to the data set, or as in "digits[17]"

    def __post_init__(self) -> None:
        count = len(self.examples)
        size = self.images.shape[1]
        assert self.images.shape == (count, size, size, 3), f"{self.images.shape} images of {count} examples"
        assert self.images.dtype == np.uint8, f"images are uint8, got {self.images.dtype}"
        assert self.labels.shape == (count,), f"{self.labels.shape} labels of {count} examples"
        object.__setattr__(self, "images", _read_only(self.images))
        object.__setattr__(self, "labels", _read_only(self.labels.astype(np.int64, copy=False)))

    def __len__(self) -> int:
        return len(self.examples)

    def key(self) -> str:
        """sha256 of images, labels and shape, in their order; where the examples came from plays no part."""
        return self._digest

    def identities(self) -> np.ndarray:
        """(n,) uint64, a hash of each image: the same in whatever split it is."""
        found = (hashlib.blake2b(image.tobytes(), digest_size=8).digest() for image in self.images)
        return np.frombuffer(b"".join(found), np.uint64)

    @cached_property
    def _digest(self) -> str:
        digest = hashlib.sha256(repr(self.images.shape).encode())
        digest.update(np.ascontiguousarray(self.images).data)
        digest.update(np.ascontiguousarray(self.labels).astype("<i8", copy=False).data)
        return digest.hexdigest()


def joined(one: Split, other: Split) -> Split:
    """The examples of both, in this order."""
    return Split(
        np.concatenate([one.images, other.images]),
        np.concatenate([one.labels, other.labels]),
        one.examples + other.examples,
    )


@dataclass(frozen=True, eq=False)
class Data:
    """A data set as the driver holds it; only its `Split`s travel: it refuses to be pickled or copied. A test set is
    read when its opener is called, by the final report."""

    train: Split
    val: Split
    classes: tuple[str, ...]  # name of each label
    tests: Mapping[str, Callable[[], Split]]  # name -> opener, which raises Missing once the files are gone
    drawn: bool = False  # whether the test set is what the drawing of train and val left

    def __reduce__(self) -> NoReturn:
        raise TypeError("Data does not travel, because it can open the test sets: send its train or val split")


def _read_only(array: np.ndarray) -> np.ndarray:
    view = np.ascontiguousarray(array).view()
    view.setflags(write=False)
    return view
