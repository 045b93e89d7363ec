"""T20: Ctrl-C once and twice, SIGTERM, a closed terminal, a killed driver; and no Ray process of ours afterwards.

The real command line in a process of its own, on a search that is under way: how it ends, what it says, what it leaves,
and that the resumed campaign is the uninterrupted one.
"""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psutil

from chaos.figures import Figure, below, exactly
from chaos.shared import cluster
from chaos.tiny import tiny
from chaos.trouble import NAME, Place, command
from db.errors import StoreError
from db.store import open_store
from glora_search import driving
from glora_search.exits import INTERRUPTED
from workers.reaping import alive

PATIENCE = 300.0  # seconds for a campaign to come to where it is waited for
LEFT = 60.0  # seconds that a Ray process of ours may live on
AT_ONCE = 3.0  # seconds from the second signal to the end
ROOT = Path(__file__).resolve().parent.parent
UNDER_WAY = 60  # results; the first generation has 50
MAIN = "from glora_search.cli import main; main()"
# What a driver is made to do before it begins.
SLOW = """
import time
from supernet.evaluation import Scorer
score, begun = Scorer.score, []
def slow(self, *arguments):
    begun.append(None)
    time.sleep(3600 if len(begun) > 65 else 0)
    return score(self, *arguments)
Scorer.score = slow
"""
BROKEN = {
    "agents outlive a killed driver": """
import contextlib
from workers import cluster
cluster.agents_go_with_us = contextlib.nullcontext
""",
    "a pause is not written": """
from db.store import Store
set_state = Store.set_state
Store.set_state = lambda *given: None if "paused" in given else set_state(*given)
""",
}


@dataclass(frozen=True)
class Case:
    """What is done to a driver in the middle of its search."""

    title: str
    signals: tuple[signal.Signals, ...] = ()
    gap: float = 1.0  # seconds between two signals
    hang_up: bool = False  # its terminal is closed
    stuck: bool = False  # what is in flight does not end


CASES = {
    "once": Case("Ctrl-C", (signal.SIGINT,)),
    "twice": Case("Ctrl-C twice", (signal.SIGINT, signal.SIGINT), stuck=True),
    "late": Case("Ctrl-C twice, the second while it ends", (signal.SIGINT, signal.SIGINT), gap=0.2),
    "polite": Case("SIGTERM", (signal.SIGTERM,)),
    "hangup": Case("terminal closed", hang_up=True),
    "killed": Case("SIGKILL", (signal.SIGKILL,)),
}


@dataclass
class Driver:
    """A process of the command line, with whatever it started."""

    place: Place
    arguments: Sequence[object]
    first: str = ""  # Python that runs before the program
    terminal: int | None = None  # our end of its terminal, if it has one
    children: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.place.folder.mkdir(exist_ok=True)
        self.said_to = self.place.folder / "stderr"
        self.process: subprocess.Popen[bytes]

    def start(self, in_terminal: bool = False) -> Driver:
        line = [sys.executable, "-c", self.first + MAIN, *map(str, self.arguments), *self.place.options]
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        with self.said_to.open("wb") as said:
            if not in_terminal:
                self.process = subprocess.Popen(line, env=environment, stdout=subprocess.DEVNULL, stderr=said)
                return self
            self.terminal, theirs = pty.openpty()
            os.set_blocking(self.terminal, False)
            streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
            self.process = subprocess.Popen(
                line, env=environment, start_new_session=True, preexec_fn=_own_terminal, **streams
            )
            os.close(theirs)
        return self

    def until(self, there: Callable[[], bool]) -> None:
        """Wait, and read what it says to its terminal, which would hold it up otherwise."""
        end = time.monotonic() + PATIENCE
        while not there():
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"the driver did not come so far: {self.said()[-2000:]}")
            if self.terminal is not None:
                with suppress(BlockingIOError):
                    os.read(self.terminal, 1 << 20)
            time.sleep(0.05)
        self.children = psutil.Process(self.process.pid).children(recursive=True)

    def meets(self, case: Case) -> float:
        """Seconds from the last signal to its end."""
        if case.stuck:
            for child in self.children:
                if "ScoringActor" in child.name():
                    child.suspend()
        for number in case.signals[:-1]:
            self.process.send_signal(number)
            time.sleep(case.gap)
        begin = time.monotonic()
        if case.hang_up and self.terminal is not None:
            os.close(self.terminal)
        elif self.process.poll() is None:
            self.process.send_signal(case.signals[-1])
        return self.ended(begin)

    def ended(self, begin: float) -> float:
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        return time.monotonic() - begin

    def said(self) -> str:
        return self.said_to.read_text(errors="replace")

    def left(self, within: float = LEFT) -> tuple[int, float]:
        """(processes that it started and that live on, seconds that they took to be so few)."""
        begin = time.monotonic()
        while (count := sum(map(alive, self.children))) and time.monotonic() - begin < within:
            time.sleep(0.1)
        return count, time.monotonic() - begin

    def names(self) -> list[str]:
        """Of what runs below it now."""
        with suppress(psutil.Error):
            return [child.name() for child in psutil.Process(self.process.pid).children(recursive=True)]
        return []

    def results(self) -> int:
        with suppress(StoreError), open_store(str(self.place.db), create=False) as store:
            return store.progress(NAME).completed
        return 0

    def state(self) -> str:
        with open_store(str(self.place.db), create=False) as store:
            return str(store.campaign(NAME).state)


def _own_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def signals(
    folder: Path, backend: str = "ray", generations: int = 4, cases: Sequence[str] = tuple(CASES), broken: str = ""
) -> list[Figure]:
    """Every case, on two Ray actors or in the driver's own process."""
    pool = {"backend": backend, "count": 2 if backend == "ray" else 1, "threads": 1}
    search = {"population": 50, "generations": generations, "parents": 10, "crossover": 13, "mutation": 12}
    config = tiny(folder / "inputs", search=search, workers=pool)
    whole = Driver(Place(folder / "whole", config), ("launch", config)).start()
    whole.until(lambda: whole.results() > 0)
    whole.ended(0)
    assert whole.process.returncode == 0, whole.said()
    figures = [exactly("processes left after a normal end", whole.left()[0], 0)]
    for name in cases:
        driver = Driver(Place(folder / name, config), ("launch", config), BROKEN.get(broken, ""))
        figures += met(driver, CASES[name], whole.place, backend)
    return figures + ([*starting(folder, config), *joined(folder)] if backend == "ray" else [])


def met(driver: Driver, case: Case, whole: Place, backend: str) -> list[Figure]:
    """How one case ended."""
    if case.stuck and backend == "local":
        driver.first += SLOW
    driver.start(in_terminal=case.hang_up)
    driver.until(lambda: driver.results() >= UNDER_WAY)
    seconds = driver.meets(case)
    count, lingering = driver.left()
    killed, state = signal.SIGKILL in case.signals, driver.state()
    figures = [
        exactly(f"{case.title}: processes left", count, 0),
        exactly(f"{case.title}: resumed to the same", _resumed(driver.place, killed) == whole.found(), True),
    ]
    if killed:
        return [*figures, below(f"{case.title}: until they are gone", lingering, LEFT, "s")]
    if len(case.signals) > 1:
        figures.append(below(f"{case.title}: from the second to the end", seconds, AT_ONCE, "s"))
    told = case.hang_up or f"glora-search resume {NAME}" in driver.said()
    ended = (driver.process.returncode, state, told)
    return [exactly(f"{case.title}: exit code, state, resume command", ended, (INTERRUPTED, "paused", True)), *figures]


def _resumed(place: Place, killed: bool) -> list[tuple[Any, ...]]:
    """The candidates once the campaign is carried to its end."""
    with patch.object(driving, "STALE_AFTER", timedelta(0) if killed else driving.STALE_AFTER):
        code, said = command("resume", NAME, *place.options)
    return place.found() if code == 0 else [(code, said)]


def starting(folder: Path, config: Path) -> list[Figure]:
    """Ctrl-C while Ray starts: there is no campaign yet."""
    driver = Driver(Place(folder / "starting", config), ("launch", config)).start()
    driver.until(lambda: any("raylet" in name for name in driver.names()))
    driver.meets(CASES["once"])
    return [
        exactly("Ctrl-C while Ray starts: exit code", driver.process.returncode, INTERRUPTED),
        exactly("Ctrl-C while Ray starts: processes left", driver.left()[0], 0),
    ]


def joined(folder: Path) -> list[Figure]:
    """Ctrl-C twice on a cluster of others: our actors end, and nothing else does."""
    with cluster(cpus=2) as address:
        theirs = Counter(_names())
        pool = {"backend": "ray", "count": 2, "threads": 1, "address": address}
        config = tiny(folder / "inputs", search={"population": 200}, workers=pool)
        driver = Driver(Place(folder / "joined", config), ("launch", config)).start()
        driver.until(lambda: driver.results() > 0)
        driver.meets(CASES["late"])
        end = time.monotonic() + LEFT
        while (ours := sum("Actor" in name for name in _names())) and time.monotonic() < end:
            time.sleep(0.1)
        gone = sum((theirs - Counter(_names())).values())
    return [
        exactly("Ctrl-C twice on a cluster of others: our actors left", ours, 0),
        exactly("Ctrl-C twice on a cluster of others: their processes gone", gone, 0),
    ]


def _names() -> list[str]:
    """Of all that runs below this process."""
    return [child.name() for child in psutil.Process().children(recursive=True) if alive(child)]


def orphans(folder: Path, broken: str = "", within: float = LEFT) -> list[Figure]:
    """SIGKILL as soon as Ray has started and the campaign has its row."""
    config = tiny(folder / "inputs", workers={"backend": "ray"})
    driver = Driver(Place(folder / "orphans", config), ("launch", config), BROKEN.get(broken, "")).start()
    driver.until(lambda: "Numerics" in driver.said())
    driver.meets(CASES["killed"])
    left = driver.left(within)[0]
    for child in driver.children:
        with suppress(psutil.Error):
            child.kill()
    return [exactly("SIGKILL: Ray processes left", left, 0)]
