"""What a campaign will cost on this machine: a few steps and candidates are timed before the first real one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median

from supernet.data import Split
from supernet.evaluation import Scorer, ScoringTask
from supernet.numerics import Numerics, prepare_process
from supernet.randomness import stream
from supernet.trained import Trained
from supernet.training import Progress, TrainingTask, adapt, train

STEPS, CANDIDATES = 4, 3  # timed, the first of each being a warm-up


@dataclass(frozen=True)
class Costs:
    """Medians, on an otherwise idle machine."""

    step: float  # seconds of a training step, with all threads
    candidate: float  # seconds a candidate takes one worker, with a worker's threads


@dataclass(frozen=True)
class CostTask:
    """Time the steps of a training and the candidates of a search that are never made."""

    training: TrainingTask
    validation: Split
    numerics: Numerics  # of a scoring worker

    def run(self) -> Iterator[Progress | Costs]:
        """No progress, then the costs."""
        prepare_process(self.training.numerics.threads_per_worker)
        steps = []
        for progress in train(near_only(self.training)):
            if not isinstance(progress, Progress):  # the whole training is shorter than what is timed
                break
            steps.append(progress.seconds)
            if len(steps) == STEPS:
                break
        yield Costs(step=_typical(steps), candidate=self._candidate())

    def _candidate(self) -> float:
        """Seconds of a candidate of a supernet before its first step."""
        scorer = untrained_scorer(self.training, self.validation, self.numerics)
        clock = [0.0]
        for number in range(CANDIDATES):
            begin = time.perf_counter()
            scorer.score(scorer.supernet.space.draw(stream(self.training.seed, "baseline", number)))
            clock.append(clock[-1] + time.perf_counter() - begin)
        return _typical(clock[1:])


def near_only(task: TrainingTask) -> TrainingTask:
    """The training without a head that is fitted first, and without the method's own steps, which are cheaper."""
    changed = {"head": "random", "method_first": 0.0, "method_last": 0.0}
    return replace(task, training=task.training.model_copy(update=changed))


def untrained_scorer(training: TrainingTask, validation: Split, numerics: Numerics) -> Scorer:
    """Of a supernet before its first step, whose candidates take as long as those of any other."""
    untrained = adapt(training.backbone, training.space, training.seed)
    tensors = {name: tensor.detach().numpy() for name, tensor in untrained.trained().items()}
    return Scorer(ScoringTask(training.backbone, training.space, Trained(tensors, 0.0), validation, numerics))


def _typical(clock: list[float]) -> float:
    """Median of the differences of a running clock; the first reading ends the warm-up."""
    return median([after - before for before, after in pairwise(clock)] or [clock[0]])
