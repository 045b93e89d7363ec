"""The pool of one: training and scoring in this process. What runs here runs the same on Ray."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from supernet.memory import advised
from supernet.numerics import Numerics, probe
from supernet.training import Progress
from workers.evaluator import Evaluator, Outcome, Rules, Scorable, evaluate_one, unraced
from workers.provides import require_provided
from workers.settings import WorkerSettings
from workers.threads import threads_per_worker
from workers.trainer import LESS_AT_A_TIME, Result, Task


class LocalEvaluator:
    """Scores genomes one after the other. A candidate that hangs hangs the search: the timeout is Ray's."""

    def __init__(self, task: Scorable) -> None:
        require_provided(task.numerics)
        self.scorer = task.scorer()
        self.scorer.check()

    def evaluate(self, genomes: Iterable[str | None], hopeless: Rules = unraced) -> Iterator[tuple[int, Outcome]]:
        """In the given order."""
        for index, genome in enumerate(genomes):
            assert genome is not None, "every outcome so far is known"
            yield index, evaluate_one(self.scorer, genome, hopeless(index), worker="local")


class LocalPool:
    """The pool port, in this process."""

    def __init__(self, settings: WorkerSettings) -> None:
        self.settings = settings

    def probe(self) -> tuple[Numerics, str]:
        return probe(threads_per_worker(self.settings), gpu=self.settings.gpus_per_worker > 0)

    def train(self, task: Task[Result]) -> Iterator[Progress | Result]:
        require_provided(task.numerics)
        with advised(LESS_AT_A_TIME):
            yield from task.run()

    @contextmanager
    def evaluator(self, task: Scorable, patience: float = 1.0) -> Iterator[Evaluator]:
        yield LocalEvaluator(task)
