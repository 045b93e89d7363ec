"""The evaluator port on a forerunner, and then on Ray, which is started while the forerunner is at work."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from math import ceil

from workers.dispatch import RayEvaluator
from workers.evaluator import Outcome, Rules, Scorable, unraced
from workers.forerunner import Forerunner, Gone
from workers.waiting import Waiting

AHEAD = 2  # candidates with the forerunner: one runs, one lies ready
STARTS = 4.0  # seconds that Ray may take to start, in which the driver hands out none
MOST = 16  # candidates to lie ready then
ALONE = 3.0  # seconds without an outcome, after which Ray is started all the same
LOOK = 0.05  # seconds between two looks at whether a worker has loaded


class Relay:
    """Answers of the forerunner until one of Ray's workers has loaded; then, and in all later calls, theirs."""

    def __init__(self, forerunner: Forerunner, task: Scorable, start: Callable[[], RayEvaluator]) -> None:
        self._ahead, self._start = forerunner, start
        self._ray: RayEvaluator | None = None
        self._since = time.monotonic()
        self._seconds: float | None = None  # that the last candidate took
        forerunner.load(task)

    def evaluate(self, genomes: Iterable[str | None], hopeless: Rules = unraced) -> Iterator[tuple[int, Outcome]]:
        """As outcomes arrive. Raises BadInput if no worker can load the supernet."""
        waiting = Waiting(genomes, hopeless)
        if self._ahead.alive:
            yield from self._led(waiting)
        if waiting:
            yield from self._workers().drain(waiting)

    def _led(self, waiting: Waiting) -> Iterator[tuple[int, Outcome]]:
        """Until nothing is left, or a worker is ready or the forerunner gone: then what it has not answered waits."""
        answered_all = False
        try:
            with suppress(Gone):
                while self._ray is None or not self._ray.ready:
                    self._hand_out(waiting, AHEAD)
                    if answered_all := not self._ahead.given:
                        return
                    if self._ray is None and self._due():
                        self._hand_out(waiting, self._while_it_starts())
                        self._workers()
                    if (found := self._ahead.collect(LOOK)) is not None:
                        candidate, outcome = found
                        self._seconds = outcome.seconds
                        yield candidate.index, outcome
        finally:
            if not answered_all:
                waiting.put_back(self._ahead.stop())

    def _hand_out(self, waiting: Waiting, count: int) -> None:
        """Until the forerunner has so many."""
        while len(self._ahead.given) < count and (candidate := waiting.take()) is not None:
            self._ahead.submit(candidate)

    def _due(self) -> bool:
        """Whether Ray is to start: it would hold up the first outcome, but not for ever."""
        return self._seconds is not None or time.monotonic() - self._since >= ALONE

    def _while_it_starts(self) -> int:
        """As many candidates as keep the forerunner busy."""
        return AHEAD if self._seconds is None else min(MOST, AHEAD + ceil(STARTS / max(self._seconds, 1e-3)))

    def _workers(self) -> RayEvaluator:
        """Loading, from the first time on."""
        if self._ray is None:
            self._ahead.step_back()
            self._ray = self._start()
        return self._ray
