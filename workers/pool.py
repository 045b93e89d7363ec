"""The Ray pool: training on one actor, scoring on many, here or on a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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
from workers.settings import WorkerSettings
from workers.slots import DEATHS, Slot
from workers.spare import Spare
from workers.threads import threads_per_worker, training_threads
from workers.trainer import Result, Task


class RayPool:
    """The pool port on Ray. Needs a connection: see `workers.pools`.

    Actors are kept between calls, since starting one takes seconds: either the one that trains or those that score,
    never both, so that training may reserve a whole GPU.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        self.settings = settings
        self.threads = threads_per_worker(settings)
        require_resources(self.threads, settings.gpus_per_worker)
        reserved = {"num_cpus": self.threads, "num_gpus": settings.gpus_per_worker}
        self._spare = None if settings.gpus_per_worker or settings.address else Spare()
        self._slots = [Slot(f"ray-{number}", reserved, self._spare) for number in range(settings.count)]
        self._trainer: Any = None
        self._scoring = False

    def probe(self) -> tuple[Numerics, str]:
        """Runs where a worker would run."""
        gpus = self.settings.gpus_per_worker
        task = ray.remote(probe).options(num_cpus=self.threads, num_gpus=gpus)
        found: tuple[Numerics, str] = ray.get(task.remote(self.threads, gpu=gpus > 0))
        return found

    def train(self, task: Task[Result]) -> Iterator[Progress | Result]:
        """Training has an actor to itself, with a whole GPU where workers have a part of one."""
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
            yield RayEvaluator(task, self.settings, self._slots, patience)
        finally:
            self._scoring = False

    def close(self) -> None:
        """Stop all actors."""
        self._stop_trainer()
        for slot in self._slots:
            slot.stop()
        if self._spare is not None:
            self._spare.stop()

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
