"""The trainer port, and the pool that offers both ports: where the GPUs are, not where the command was typed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from supernet.numerics import Numerics
from supernet.training import Progress
from workers.evaluator import Evaluator, Scorable

Result = TypeVar("Result")  # what a task leaves behind, such as Trained
Yields = TypeVar("Yields", covariant=True)

LESS_AT_A_TIME = "Lower training.batch_size."  # what both pools say when a training runs out of memory


class Task(Protocol[Yields]):
    """Work with a result: a value that travels, such as TrainingTask, ProbeTask or CostTask."""

    @property
    def numerics(self) -> Numerics:
        """What its numbers depend on; a worker that cannot provide them refuses the task."""

    def run(self) -> Iterator[Progress | Yields]:
        """Progress after each step, and at last the result."""


class Pool(Protocol):
    """Where training and scoring run."""

    def probe(self) -> tuple[Numerics, str]:
        """(numerics of a worker, a sentence that says what was chosen and why)."""

    def train(self, task: Task[Result]) -> Iterator[Progress | Result]:
        """Run the task on one worker with all of the pool's threads."""

    def evaluator(self, task: Scorable, patience: float = 1.0) -> AbstractContextManager[Evaluator]:
        """Workers that hold the supernet and the split; a candidate may take `patience` times workers.timeout.

        Raises BadInput if they cannot provide the numerics.
        """
