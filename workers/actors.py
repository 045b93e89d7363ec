"""What runs inside a Ray actor. Nothing here opens a file of the driver's machine: everything arrives as values."""

from __future__ import annotations

from collections.abc import Iterator

import ray

from supernet.evaluation import Hopeless
from supernet.memory import advised
from supernet.training import Progress
from workers.evaluator import Outcome, Scorable, Scoring, evaluate_one
from workers.provides import require_provided
from workers.trainer import LESS_AT_A_TIME, Result, Task
from workers.versions import require_same


class ScoringActor:
    """Loads the supernet once from the object store and keeps the split on its device."""

    def __init__(self) -> None:
        self.name = ""
        self.scorer: Scoring | None = None

    def load(self, name: str, task: Scorable, driver: str) -> None:
        """Raises BadInput if this worker has other versions or another device than the campaign's, or miscomputes."""
        require_same(driver)
        require_provided(task.numerics)
        self.name = name
        self.scorer = None  # two at a time may be more than the device holds
        scorer = task.scorer()
        scorer.check()
        self.scorer = scorer

    def score(self, genome: str, hopeless: Hopeless | None) -> Outcome:
        assert self.scorer is not None, "a worker loads before it scores"
        return evaluate_one(self.scorer, genome, hopeless, self.name)


class TrainingActor:
    """Runs one task at a time and streams what it yields."""

    @ray.method(num_returns="streaming")  # type: ignore[untyped-decorator]
    def run(self, task: Task[Result], driver: str) -> Iterator[Progress | Result]:
        require_same(driver)
        require_provided(task.numerics)
        with advised(LESS_AT_A_TIME):
            yield from task.run()
