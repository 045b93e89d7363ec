"""What training leaves behind: the tensors that were trained, as values that travel and are stored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch

from supernet.errors import Corrupt
from supernet.settings import SpaceSettings, TrainingSettings

if TYPE_CHECKING:
    from supernet.backbone import Backbone
    from supernet.data import Split
    from supernet.model import Supernet

NUMBERS = 6  # bump by hand when training would compute other numbers from the same recipe, roundings aside


@dataclass(frozen=True)
class Trained:
    """The trained tensors of a supernet (or of a head alone), by their names in `Supernet.trained`."""

    tensors: Mapping[str, np.ndarray]
    seconds: float

    @cached_property
    def fingerprint(self) -> str:
        """Hash of what was trained: names the supernet."""
        return digest_of(self.tensors)

    def load_into(self, supernet: Supernet, *, head_only: bool = False) -> None:
        """Copy the tensors. With `head_only` supports may be missing and keep what they hold. Raises Corrupt."""
        into = supernet.trained()
        wanted = {name for name in into if not head_only or name.startswith("head.")}
        if missing := sorted(wanted - set(self.tensors)):
            raise Corrupt(f"The trained supernet lacks {missing[0]} and {len(missing) - 1} more tensors.")
        for name, array in self.tensors.items():
            if name not in into or tuple(into[name].shape) != array.shape:
                raise Corrupt(f"The trained supernet's tensor {name} {array.shape} does not fit this space.")
            with torch.no_grad():
                into[name].copy_(torch.tensor(array))


def digest_of(tensors: Mapping[str, np.ndarray]) -> str:
    """SHA-256 (hex) of names, types, shapes and contents, whatever their order."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def recipe(
    backbone: Backbone,
    space: SpaceSettings,
    training: TrainingSettings,
    split: Split,
    seed: int,
    validation: Split | None = None,
) -> str:
    """Hash of everything that decides what training computes: looked up before training.

    A table is named by its space; its depths, which move the draws, are named beside it. `validation` is the split
    that the supernet is calibrated on, if it is. A training that could not be told to end with its method goes without
    saying that it does not, so that supernets from before are found.
    """
    told = training.model_dump_json(exclude=None if training.method_last else {"method_last"})
    parts = [backbone.key(), space.model_dump_json(), told, split.key(), seed, NUMBERS]
    if depths := [(row.sites, row.gene, row.depths) for row in space.table if row.depths]:
        parts.append(depths)
    if any(name.endswith(".running_mean") for name in backbone.state):
        parts.append("frozen batch norms")  # which were of each batch before
    parts += [] if validation is None else [validation.key()]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
