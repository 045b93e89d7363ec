"""The Ray pool: training on one actor, scoring on many, here or on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import ray
from ray.exceptions import RayTaskError

from supernet.errors import BadInput
from supernet.numerics import Numerics, probe
from supernet.training import Progress
from workers import versions
from workers.actors import TrainingActor
from workers.cluster import require_resources
from workers.dispatch import RayEvaluator
from workers.evaluator import Evaluator, Scorable
from workers.forerunner import Forerunner
from workers.relay import Relay
from workers.settings import WorkerSettings
from workers.slots import DEATHS, Slot
from workers.spare import Spare
from workers.threads import threads_per_worker, training_threads
from workers.trainer import Result, Task


class RayPool:
    """The pool port on Ray, which `connect` starts or joins: see `workers.pools`.

    With a forerunner that is not before Ray has something to do that a forerunner cannot, or has not done by then.
    Actors are kept between calls, since starting one takes seconds: either the one that trains or those that score,
    never both, so that training may reserve a whole GPU.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        connect: Callable[[], object] = lambda: None,  # there is a connection already
        forerunner: Forerunner | None = None,
    ) -> None:
        """Raises BadInput, without a forerunner, if no worker finds room."""
        self.settings = settings
        self.threads = threads_per_worker(settings)
        self._forerunner = forerunner
        self._connect: Callable[[], object] | None = connect
        if forerunner is None:
            self._connected()
        reserved = {"num_cpus": self.threads, "num_gpus": settings.gpus_per_worker}
        self._spare = None if settings.gpus_per_worker or settings.address else Spare()
        self._slots = [Slot(f"ray-{number}", reserved, self._spare) for number in range(settings.count)]
        self._trainer: Any = None
        self._scoring = False

    def probe(self) -> tuple[Numerics, str]:
        """Runs where a worker would run."""
        self._connected()
        gpus = self.settings.gpus_per_worker
        task = ray.remote(probe).options(num_cpus=self.threads, num_gpus=gpus)
        found: tuple[Numerics, str] = ray.get(task.remote(self.threads, gpu=gpus > 0))
        return found

    def train(self, task: Task[Result]) -> Iterator[Progress | Result]:
        """Training has an actor to itself, with a whole GPU where workers have a part of one."""
        self._connected()
        for slot in self._slots:
            slot.stop()
        try:
            for item in self._training_actor().run.remote(ray.put(task), versions.here()):
                yield ray.get(item)
        except RayTaskError as error:
            raise (error.cause if isinstance(error.cause, BadInput) else error) from None
        except DEATHS as error:
            self._trainer = None
            raise BadInput(
                f"The training worker died ({type(error).__name__}): too little memory? Lower training.batch_size, or "
                "launch again to go on from the last checkpoint."
            ) from None
        except GeneratorExit:  # the consumer left early: the next training must not wait behind this one
            self._stop_trainer()
            raise

    @contextmanager
    def evaluator(self, task: Scorable, patience: float = 1.0) -> Iterator[Evaluator]:
        assert not self._scoring, "evaluators of one pool share its actors: close one before the next is opened"
        self._stop_trainer()
        self._scoring = True
        try:
            start = partial(self._evaluator, task, patience)
            ahead = self._forerunner
            yield Relay(ahead, task, start) if ahead is not None and ahead.alive else start()
        finally:
            self._scoring = False

    def close(self) -> None:
        """Stop all actors."""
        self._stop_trainer()
        for slot in self._slots:
            slot.stop()
        if self._spare is not None:
            self._spare.stop()

    def _evaluator(self, task: Scorable, patience: float) -> RayEvaluator:
        self._connected()
        return RayEvaluator(task, self.settings, self._slots, patience)

    def _connected(self) -> None:
        """Once. Raises BadInput if a worker finds no room."""
        if self._connect is not None:
            self._connect()
            self._connect = None
            require_resources(self.threads, self.settings.gpus_per_worker)

    def _training_actor(self) -> Any:
        if self._trainer is None:
            whole = max(1.0, self.settings.gpus_per_worker) if self.settings.gpus_per_worker else 0.0
            cpus = training_threads(self.settings) if self.settings.address is None else self.threads
            require_resources(cpus, whole)  # else it would wait for ever
            self._trainer = ray.remote(TrainingActor).options(num_cpus=cpus, num_gpus=whole).remote()
        return self._trainer

    def _stop_trainer(self) -> None:
        if self._trainer is not None:
            ray.kill(self._trainer)
        self._trainer = None
