"""What a row of a comparison found under one seed, as a value that is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Scores:
    """Of one subnet, trained one way. Figures in float32, accuracies in [0, 1]."""

    epochs: int
    val_accuracy: float
    test_accuracy: float
    test_correct: str  # one bit a test example, numpy.packbits order, in hex
    train_seconds: float

    def right(self, examples: int) -> np.ndarray:
        """(examples,) bool: which test examples the subnet got right."""
        packed = np.frombuffer(bytes.fromhex(self.test_correct), np.uint8)
        return np.unpackbits(packed, count=examples).astype(bool)


@dataclass(frozen=True)
class Outcome:
    """Of a method under a seed."""

    method: str
    seed: int
    genome: str | None  # None for a head alone
    params: int  # trainable, the head not counted
    examples: Mapping[str, int]  # of train, val and test
    splits: Mapping[str, str]  # hash of the contents of each
    numerics: Mapping[str, Any]  # of a scoring worker
    scores: Scores
    longer: Scores | None = None  # as many epochs as take what ours takes, training and search; None if not more
    search_seconds: float = 0.0
    candidates: int = 0  # that were proposed
    limit: int | None = None  # of parameters

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


Found = Mapping[str, Sequence[Outcome]]  # of each method, in the order of the seeds


def from_dict(values: Mapping[str, Any]) -> Outcome:
    """The inverse of `as_dict`."""
    longer = values["longer"]
    scores = {"scores": Scores(**values["scores"]), "longer": None if longer is None else Scores(**longer)}
    return Outcome(**{**values, **scores})
