"""Every draw has a named stream, so that step t or generation n draws the same, whatever ran before it."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

Stream = Literal[
    "init",
    "forms",
    "batches",
    "drop_path",
    "generation",
    "baseline",
    "probe",
    "split",
    "fair",
    "augmentation",
    "views",
    "calibration",
]
_NUMBER: dict[str, int] = {
    "init": 0,
    "forms": 1,
    "batches": 2,
    "drop_path": 3,
    "generation": 4,
    "baseline": 5,
    "probe": 6,
    "split": 7,
    "fair": 8,
    "augmentation": 9,
    "views": 10,
    "calibration": 11,
}


def stream(seed: int, name: Stream, index: int = 0) -> np.random.Generator:
    """The generator of draw `index` of a stream: a function of its arguments."""
    return np.random.default_rng([seed, _NUMBER[name], index])


def torch_seed(seed: int, name: Stream, index: int = 0) -> int:
    """A seed for torch's generators, in [0, 2**63)."""
    return int(stream(seed, name, index).integers(2**63))


def torch_generator(seed: int, name: Stream, index: int = 0) -> torch.Generator:
    """A CPU generator of torch for draw `index` of a stream."""
    return torch.Generator().manual_seed(torch_seed(seed, name, index))
