"""A stand-in for what scores: it answers at once from a genome's hash, and comes to harm where it was told to.

It is a value and travels to Ray's actors like the real task. What it answers, `answer` says without any worker.
"""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch

from supernet.evaluation import QUANTUM, Hopeless, Measurement, Partial
from supernet.numerics import Numerics, device_kind

EXAMPLES = 200  # of the split that it pretends to have


def numerics(chunk: int = 16) -> Numerics:
    """Such as every worker of this machine provides."""
    return Numerics(device_kind(gpu=False), "float32", False, "fused", threads_per_worker=1, chunk=chunk)


# ---- what it answers


@dataclass(frozen=True)
class When:
    """A racing rule made of a function: a candidate is dropped when it says so."""

    says: Callable[[Partial], bool]
    order: np.ndarray | None = None

    def __call__(self, partial: Partial) -> bool:
        return self.says(partial)


def answer(genome: str, hopeless: Hopeless | None = None, chunk: int = EXAMPLES) -> Measurement:
    """A function of the genome, with many ties: 16 accuracies, 8 losses. The rule is asked after each chunk.

    Half of the examples, others for each genome, cost three times as much as the other half.
    """
    order = slice(None) if hopeless is None or hopeless.order is None else hopeless.order
    right = np.random.default_rng(_number(genome, "who")).permutation(EXAMPLES) < 40 + 10 * (_number(genome) % 16)
    quanta = round((1 + _number(genome, "loss") % 8) / 4 / QUANTUM)  # the mean loss
    dear = np.random.default_rng(_number(genome, "what")).permutation(EXAMPLES) % 2
    losses = quanta // 2 + quanta * dear
    for seen in (*range(chunk, EXAMPLES, chunk), EXAMPLES):
        looked_at = np.isin(np.arange(EXAMPLES), np.arange(EXAMPLES)[order][:seen])
        correct, shown = right & looked_at, losses * looked_at
        partial = Partial(seen, int(correct.sum()), int(shown.sum()), EXAMPLES, parameters(genome))
        if hopeless is not None and seen < EXAMPLES and hopeless(partial):
            break
    figures = partial.correct / partial.seen, partial.loss * QUANTUM / partial.seen
    return Measurement(*figures, np.packbits(correct).tobytes(), partial, shown.tobytes())


def parameters(genome: str) -> int:
    return 1000 * (_number(genome, "parameters") % 100)


def _number(genome: str, what: str = "accuracy") -> int:
    """64 bits of the genome's hash, others for each purpose."""
    return int.from_bytes(hashlib.sha256(f"{what} {genome}".encode()).digest()[:8])


# ---- how it comes to harm


class Harm(Protocol):
    """A value that travels."""

    def __call__(self, found: Measurement, chunk: int) -> Measurement:
        """What becomes of a result computed `chunk` examples at a time."""


@dataclass(frozen=True)
class Crash:
    """The process is killed, as by the kernel."""

    def __call__(self, found: Measurement, chunk: int) -> Measurement:
        os.kill(os.getpid(), signal.SIGKILL)
        return found


@dataclass(frozen=True)
class Raise:
    message: str = "our own mistake"

    def __call__(self, found: Measurement, chunk: int) -> Measurement:
        raise LookupError(self.message)


@dataclass(frozen=True)
class Slow:
    """It takes this long; an hour is a hang."""

    seconds: float = 3600.0

    def __call__(self, found: Measurement, chunk: int) -> Measurement:
        time.sleep(self.seconds)
        return found


@dataclass(frozen=True)
class OutOfMemory:
    """More than `fits` examples at a time are too many."""

    fits: int = 0

    def __call__(self, found: Measurement, chunk: int) -> Measurement:
        if chunk > self.fits:
            raise torch.OutOfMemoryError(f"{chunk} examples at a time, where {self.fits} fit")
        return found


@dataclass(frozen=True)
class Figures:
    """What no scorer should return: NaN, infinite, negative, too large."""

    accuracy: float | None = None  # None: as computed
    loss: float | None = None

    def __call__(self, found: Measurement, chunk: int) -> Measurement:
        accuracy = found.accuracy if self.accuracy is None else self.accuracy
        return replace(found, accuracy=accuracy, loss=found.loss if self.loss is None else self.loss)


@dataclass(frozen=True)
class Fault:
    """A harm, and the genomes that meet it."""

    harm: Harm
    one_in: int = 1  # genomes, by their hash
    once: Path | None = None  # a folder of marks: each genome meets it the first time only, in whatever process

    def hits(self, genome: str) -> bool:
        return _number(genome, repr(self.harm)) % self.one_in == 0

    def due(self, genome: str) -> bool:
        """Whether it is to happen now; asked once for each time it may."""
        if not self.hits(genome):
            return False
        if self.once is None:
            return True
        mark = self.once / hashlib.sha256(f"{self.harm!r} {genome}".encode()).hexdigest()
        try:
            mark.touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


# ---- the stand-in


class Begun(NamedTuple):
    """A line of the log."""

    pid: int
    moment: float  # time.monotonic, which all processes of a machine share
    genome: str  # empty: the scorer was built


@dataclass(frozen=True)
class StubTask:
    """A Scorable: see `workers.evaluator`."""

    numerics: Numerics
    faults: tuple[Fault, ...] = ()
    log: Path | None = None  # gets a line for whatever begins

    def scorer(self) -> StubScorer:
        return StubScorer(self)

    def begun(self) -> list[Begun]:
        """What the log says so far."""
        if self.log is None or not self.log.exists():
            return []
        rows = (line.split("\t") for line in self.log.read_text().splitlines())
        return [Begun(int(pid), float(moment), genome) for pid, moment, genome in rows]


class StubScorer:
    """A Scoring: see `workers.evaluator`."""

    def __init__(self, task: StubTask) -> None:
        self.task, self.numerics = task, task.numerics
        self._say("")

    def check(self) -> None:
        """It always computes as it should."""

    def parameters(self, genome: str) -> int:
        return parameters(genome)

    def score(self, genome: str, hopeless: Hopeless | None = None, chunk: int | None = None) -> Measurement:
        self._say(genome)
        found = answer(genome, hopeless, self.numerics.chunk)
        for fault in self.task.faults:
            if fault.due(genome):
                found = fault.harm(found, chunk or self.numerics.chunk)
        return found

    def _say(self, genome: str) -> None:
        """One write of a short line is whole, whoever else writes."""
        if self.task.log is not None:
            with self.task.log.open("a", encoding="utf-8") as file:
                file.write(f"{os.getpid()}\t{time.monotonic()!r}\t{genome}\n")
