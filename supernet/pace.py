"""What a step of one training takes beside a step of another and a candidate's scoring: timed in turn, A B C A B C.

Whatever else the machine does falls on all of them alike, so that their ratios hold where seconds alone would not.
Where a supernet's training has steps of a method itself, these and the others are timed and weighted by their numbers.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from statistics import median

import torch

from supernet.cost import near_only, untrained_scorer
from supernet.data import Split
from supernet.numerics import Numerics, prepare_process
from supernet.randomness import stream
from supernet.training import Progress, TrainingTask, train

WARMUP, ROUNDS = 2, 7


@dataclass(frozen=True)
class Pace:
    """Medians over the rounds, in seconds."""

    supernet: float  # a step of the supernet's training, on average over it
    fixed: float  # a step of the other one
    candidate: float  # what a candidate takes one worker, with a worker's threads


@dataclass(frozen=True)
class PaceTask:
    """Time the steps of two trainings and the candidates of a search that are never made."""

    supernet: TrainingTask
    fixed: TrainingTask
    validation: Split
    numerics: Numerics  # of a scoring worker

    def run(self) -> Iterator[Progress | Pace]:
        """No progress, then the pace."""
        training, scoring = self.supernet.numerics.threads_per_worker, self.numerics.threads_per_worker
        prepare_process(training)
        share = self._share()
        things = [(_steps(near_only(self.supernet)), training), (_steps(self.fixed), training)]
        things += [(self._candidates(), scoring)]
        if share:
            things += [(_steps(self.supernet), training)]
        rounds = [[self._timed(*thing) for thing in things] for _ in range(WARMUP + ROUNDS)]
        near, fixed, candidate, *method = (median(times) for times in zip(*rounds[WARMUP:], strict=True))
        yield Pace(share * sum(method) + (1 - share) * near, fixed, candidate)

    def _share(self) -> float:
        """The share of the supernet's steps that train the method itself."""
        settings = self.supernet.training
        return settings.method_first + settings.method_last if settings.draws == "near" else 0.0

    def _candidates(self) -> Iterator[object]:
        scorer = untrained_scorer(self.supernet, self.validation, self.numerics)
        for number in count():
            yield scorer.score(scorer.supernet.space.draw(stream(self.supernet.seed, "baseline", number)))

    def _timed(self, thing: Iterator[object], threads: int) -> float:
        """Seconds that the next one takes, to the end of what it started on a GPU."""
        prepare_process(threads)
        self._settle()
        begin = time.perf_counter()
        next(thing)
        self._settle()
        return time.perf_counter() - begin

    def _settle(self) -> None:
        if self.numerics.device.type == "cuda":
            torch.cuda.synchronize()


def _steps(task: TrainingTask) -> Iterator[object]:
    """As many steps as are timed, however short the training, and none of another kind."""
    settings = task.training
    method = settings.method_first or settings.method_last
    long = settings.model_copy(update={"epochs": WARMUP + ROUNDS + 1, "method_first": 1.0 if method else 0.0})
    return train(replace(task, training=long))
