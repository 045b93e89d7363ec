"""An actor started ahead of need: a new process imports torch for seconds, in which a place would stand empty."""

from __future__ import annotations

from typing import Any

import ray

from workers.actors import ScoringActor


class Spare:
    """At most one actor that has loaded nothing yet, for whichever place loses its own first.

    It reserves nothing, since what it will replace is gone by then. So it is for CPUs alone: Ray hands out GPUs when an
    actor starts. And for this machine alone: elsewhere others may take what the lost actor had reserved.
    """

    def __init__(self) -> None:
        self.actor: Any = None

    def prepare(self) -> None:
        """Have one start, unless there is one."""
        if self.actor is None:
            self.actor = ray.remote(ScoringActor).options(num_cpus=0).remote()

    def take(self) -> Any:
        """The actor, which may have died meanwhile; None without one."""
        actor, self.actor = self.actor, None
        return actor

    def stop(self) -> None:
        if (actor := self.take()) is not None:
            ray.kill(actor)
