"""A process forked from the driver that scores until Ray's workers have loaded: what they import, it has already.

Ray's start and a worker's import of torch take several times as long as a candidate. A fork takes none of that. It
computes what a worker would, to the last bit, and decides nothing: whatever it has not answered when the first worker
is ready, when it dies or when it cannot begin goes to the workers, who charge a candidate with deaths and timeouts.

A fork has one thread, and libraries that had others may wait for them for ever. So it is made before Ray is imported;
should it never answer all the same, it is soon given up like one that died.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from workers.evaluator import Outcome, Scorable, Scoring, evaluate_one
from workers.provides import require_provided
from workers.settings import WorkerSettings
from workers.waiting import Candidate

NAME = "forerunner"  # as worker of its candidates
DIE_WITH_PARENT = 1  # Linux's PR_SET_PDEATHSIG
MODEST = 19  # niceness from when Ray starts: its workers, which have 15, are not to load more slowly for it


class Gone(Exception):
    """It died, or cannot do what it was asked."""


class Forerunner:
    """The driver's end: candidates go in and outcomes come back in the same order. Every call may raise Gone."""

    def __init__(self, process: Any, pipe: Connection) -> None:
        self._process, self._pipe = process, pipe
        self.given: deque[Candidate] = deque()  # the running one first
        self._task: Scorable | None = None  # that it has yet to be sent

    def load(self, task: Scorable) -> None:
        """Have it load a task before its next candidate. Whether it could is known with the first outcome."""
        assert not self.given, "what it was given is of the task before"
        self._task = task

    def submit(self, candidate: Candidate) -> None:
        """The candidate runs when those before it are done."""
        self.given.append(candidate)
        if self._task is not None:
            self._send(self._task)
            self._task = None
        self._send((candidate.genome, candidate.hopeless))

    def step_back(self) -> None:
        """Leave the cores to whoever wants them. Niceness is a thread's own, and it may have several."""
        threads = Path(f"/proc/{self._process.pid}/task")
        for thread in list(threads.iterdir()) if self.alive and threads.exists() else []:
            with suppress(OSError):  # it ended meanwhile
                os.setpriority(os.PRIO_PROCESS, int(thread.name), MODEST)

    def collect(self, seconds: float) -> tuple[Candidate, Outcome] | None:
        """The outcome of the running candidate; None if it takes longer than that."""
        try:
            if not self._pipe.poll(seconds):
                return None
            outcome: Outcome = self._pipe.recv()
        except (OSError, EOFError) as error:
            raise Gone from error
        return self.given.popleft(), outcome

    @property
    def alive(self) -> bool:
        """Whether it was not stopped; it may have died unnoticed."""
        return not self._pipe.closed

    def stop(self) -> list[Candidate]:
        """Kill it, for good; the candidates that it had, the running one first."""
        self._process.kill()
        self._process.join()
        self._pipe.close()
        left = list(self.given)
        self.given.clear()
        return left

    def _send(self, value: object) -> None:
        try:
            self._pipe.send(value)
        except Exception as error:  # it died, or no value that travels: pickling may run anybody's code
            raise Gone from error


@contextmanager
def forked(settings: WorkerSettings) -> Iterator[Forerunner | None]:
    """One for the settings' pool; None where it would be no worker's like, or this process is none to fork.

    That is: on a cluster, on GPUs, on systems other than Linux, and once this process has threads or knows Ray.
    """
    alike = settings.backend == "ray" and settings.address is None and not settings.gpus_per_worker
    if not alike or sys.platform != "linux" or threading.active_count() > 1 or "ray" in sys.modules:
        yield None
        return
    with ExitStack() as stack:
        forerunner = None
        with suppress(OSError):  # no memory or no process is left for one
            forerunner = stack.enter_context(fork())
        yield forerunner


@contextmanager
def fork() -> Iterator[Forerunner]:
    """One that is killed at the context's end at the latest, and with this process."""
    context = multiprocessing.get_context("fork")
    ours, its = context.Pipe()
    process = context.Process(target=_run, args=(its, ours, os.getpid()), name=NAME, daemon=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12, of threads: numpy's outlive a fork
        process.start()
    its.close()
    forerunner = Forerunner(process, ours)
    try:
        yield forerunner
    finally:
        if forerunner.alive:
            forerunner.stop()


def _run(pipe: Connection, drivers: Connection, driver: int) -> None:
    """The process: a task, then its candidates, then another task, until the driver closes its end, or ends."""
    ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != driver:  # it died in that moment
        return
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # the driver hears them, and what is in flight ends
        signal.signal(number, signal.SIG_IGN)
    drivers.close()
    scorer: Scoring | None = None
    with suppress(Exception):  # whatever goes wrong ends this process, and a worker says it again
        while True:
            asked = pipe.recv()
            if isinstance(asked, tuple):
                assert scorer is not None, "a task comes before its candidates"
                genome, hopeless = asked
                pipe.send(evaluate_one(scorer, genome, hopeless, NAME))
            else:
                scorer = None
                scorer = _loaded(asked)


def _loaded(task: Scorable) -> Scoring:
    require_provided(task.numerics)
    scorer = task.scorer()
    scorer.check()
    return scorer
