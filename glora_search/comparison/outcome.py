"""What a row of a comparison found under one seed, as a value that is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from supernet import deployment
from supernet.deployment import Deployment


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
    deployment: Deployment | None = None  # what it costs where it is used, if the comparison asks
    test_images: str | None = None  # 8 bytes a test example, in hex: the same for the same image under every seed

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


Found = Mapping[str, Sequence[Outcome]]  # of each method, in the order of the seeds


class Compared(dict[str, Sequence[Outcome]]):
    """What was found, and of the methods that cannot be had here, why."""

    def __init__(self, found: Found, left_out: Mapping[str, str]) -> None:
        super().__init__(found)
        self.left_out = left_out


def from_dict(values: Mapping[str, Any]) -> Outcome:
    """The inverse of `as_dict`."""
    longer, deployed = values["longer"], values.get("deployment")  # which files of earlier versions lack
    nested = {
        "scores": Scores(**values["scores"]),
        "longer": None if longer is None else Scores(**longer),
        "deployment": None if deployed is None else deployment.from_dict(deployed),
    }
    return Outcome(**{**values, **nested})
