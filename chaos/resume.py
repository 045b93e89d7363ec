"""T1: a driver that is killed at random and at every named point, and resumed, ends where one ends that never died."""

from __future__ import annotations

import multiprocessing
import random
import signal
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from chaos import postgres
from chaos.driver import drive
from chaos.figures import Figure, at_most, exactly
from chaos.tiny import tiny
from db.errors import NotFound
from db.records import State
from db.store import open_store
from glora_search.crash_points import POINTS
from glora_search.settings import read_config

PATIENCE = 600.0  # seconds that one process of a driver may take
IN_SEARCH = ("proposed", "scored", "recorded", "selected")
RECORD = ("id", "genome", "generation", "operator", "parents", "params", "status", "accuracy", "loss")
PROCESSES = multiprocessing.get_context("forkserver")  # each is forked from one that has imported everything
PROCESSES.set_forkserver_preload(["chaos.driver", "workers.pool", "supernet.data.vtab", "matplotlib.figure"])
FIGURES = ("chosen", "params", "val_accuracy", "test_accuracy", "baselines")


def ended(process: ForkServerProcess) -> int | None:
    """The exit code; None if the process had to be killed for want of patience."""
    process.join(PATIENCE)
    code = process.exitcode
    process.kill()
    return code


@dataclass
class Campaign:
    """A config, its places, and the processes that carried it."""

    config: Path
    folder: Path
    url: str = ""  # default: a SQLite file of its own
    broken: str = ""
    kills: int = 0
    lost: int = 0  # acknowledged outcomes that the database did not have after a kill, or had otherwise
    rows: dict[int, tuple[Any, ...]] = field(default_factory=dict)  # as last seen

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        self.url = self.url or str(self.folder / "glora.db")
        self.name = read_config(self.config).name

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def start(self, crash_at: str = "") -> ForkServerProcess:
        """A process that drives the campaign until it ends, or dies where it is told to."""
        places = [self.config, self.url, self.folder / "runs", self.log, self.folder / "output"]
        process = PROCESSES.Process(target=drive, args=(*map(str, places), crash_at, self.broken))
        process.start()
        return process

    def finish(self) -> int | None:
        """Drive it to its end; the exit code."""
        return ended(self.start())

    def die_at(self, point: str, time_of: int) -> None:
        """Drive it to a named point, for the nth time in that process."""
        self._died(self.start(f"{point}:{time_of}"))

    def die_after(self, word: str, count: int, delay: float, patience: float = PATIENCE) -> None:
        """Kill it some seconds after it says `word` with a number of `count` or more; sooner, when patience ends."""
        before = self.said()
        process = self.start()
        end = time.monotonic() + patience
        while process.is_alive() and time.monotonic() < end:
            if any(int(line.split()[1]) >= count for line in self.said()[len(before) :] if line.startswith(f"{word} ")):
                time.sleep(delay)
                break
            time.sleep(0.01)
        process.kill()
        self._died(process)

    def said(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    def _died(self, process: ForkServerProcess) -> None:
        """Compare what the database has with what was acknowledged."""
        self.kills += ended(process) == -signal.SIGKILL
        acknowledged = max((int(line.split()[1]) for line in self.said() if line.startswith("done ")), default=0)
        rows = {row[0]: row for row in self.found() if row[6] != "proposed"}
        changed = sum(rows.get(number) != row for number, row in self.rows.items())
        self.lost += max(0, acknowledged - len(rows), changed)
        self.rows = rows

    def found(self) -> list[tuple[Any, ...]]:
        """The candidates, without what differs from run to run; none before there is a campaign."""
        with suppress(NotFound), open_store(self.url) as store:
            return [tuple(getattr(each, name) for name in RECORD) for each in store.candidates(self.name)]
        return []

    def front(self) -> list[str]:
        with suppress(NotFound), open_store(self.url) as store:
            return [each.genome for each in store.candidates(self.name, front=True, order_by="params")]
        return []

    def report(self) -> dict[str, Any]:
        """The figures of the report; empty if the campaign has not ended."""
        with suppress(NotFound), open_store(self.url) as store:
            known = store.campaign(self.name)
            done = known.report if known.state == State.FINISHED and known.report else {}
            return {name: done[name] for name in FIGURES if name in done}
        return {}

    def exported(self) -> bytes:
        file = self.folder / "runs" / self.name / "export" / "model.safetensors"
        return file.read_bytes() if file.exists() else b""

    def repeated(self) -> int:
        """Evaluations of the search that were begun again."""
        begun = Counter(line.split(maxsplit=1)[1] for line in self.said() if line.startswith("start "))
        return begun.total() - len(begun)


def killed(
    folder: Path,
    url: str = "",
    generations: int = 10,
    kills: int = 20,
    workers: int = 2,
    points: Sequence[str] = POINTS,
    broken: str = "",
) -> list[Figure]:
    """Kill a campaign of 50 + 25 * generations candidates: `kills` times at random, and once at every point.

    `workers` Ray actors, or this process alone with 0. `url` is the database of the campaign that is killed.
    """
    search = {"population": 50, "generations": generations, "parents": 10, "crossover": 13, "mutation": 12}
    pool = {"backend": "ray" if workers else "local", "count": max(1, workers), "threads": 1}
    config = tiny(folder / "inputs", search=search, refit={"epochs": 1}, workers=pool)
    total = 50 + 25 * generations
    whole, hurt = Campaign(config, folder / "whole"), Campaign(config, folder / "hurt", url, broken)
    ended = whole.finish()
    draw = random.Random(0)
    for point in points[: _first_of_search(points)]:
        hurt.die_at(point, 2 if point == "checkpoint-kept" else 1)
    in_search = [point for point in points if point in IN_SEARCH]
    for number, target in enumerate(sorted(draw.randrange(total) for _ in range(kills))):
        anywhen = draw.uniform(0, 15) if number % 5 == 4 else PATIENCE  # also while it starts
        hurt.die_after("done", target, draw.uniform(0, 0.1), anywhen)
        for place, point in enumerate(in_search):
            if place * kills // len(in_search) == number:
                done = len(hurt.rows)
                later = done // 25 if point in ("proposed", "selected") else done + draw.randrange(1, 10)
                hurt.die_at(point, max(1, min(later, total)))
    for point in points[_first_of_search(points) :]:
        if point not in IN_SEARCH:
            hurt.die_at(point, 1)
    resumed = hurt.finish()
    return [
        exactly("exit codes of the uninterrupted and of the last resumed run", (ended, resumed), (0, 0)),
        Figure("SIGKILLs of the driver", f"{kills + len(points)}", f"{hurt.kills}", hurt.kills >= kills + len(points)),
        exactly("candidates", len(hurt.found()), total),
        exactly("candidates that differ from the uninterrupted run's", _different(whole, hurt), 0),
        exactly("genomes that were proposed twice", len(hurt.found()) - len({row[1] for row in hurt.found()}), 0),
        exactly("front, report and exported weights equal", _same(whole, hurt), True),
        exactly("acknowledged results that were lost", hurt.lost, 0),
        at_most("evaluations that were begun again", hurt.repeated(), 2 * max(1, workers) * hurt.kills),
    ]


def killed_in_process(folder: Path, kills: int = 20) -> list[Figure]:
    """The same with one worker, which is the driver itself."""
    return killed(folder, kills=kills, workers=0)


def killed_on_postgresql(folder: Path, kills: int = 20) -> list[Figure]:
    """The same with one worker in process and the database on a server. Raises NoPostgres."""
    with postgres.server() as lend, lend() as url:
        return killed(folder, url, kills=kills, workers=0)


def _first_of_search(points: Sequence[str]) -> int:
    return next((place for place, point in enumerate(points) if point in IN_SEARCH), len(points))


def _different(whole: Campaign, hurt: Campaign) -> int:
    one, other = whole.found(), hurt.found()
    return sum(a != b for a, b in zip(one, other, strict=False)) + abs(len(one) - len(other))


def _same(whole: Campaign, hurt: Campaign) -> bool:
    one, other = ((each.front(), each.report(), each.exported()) for each in (whole, hurt))
    return bool(one[1] and one[2]) and one == other


def training(folder: Path, epochs: int = 40, kills: int = 5, broken: str = "") -> list[Figure]:
    """Kill a training of 2 * epochs steps again and again: the supernet that it ends with is the uninterrupted one."""
    schedule = {"epochs": epochs, "warmup_epochs": 2}
    config = tiny(folder / "inputs", training=schedule, search={"population": 1, "generations": 0})
    whole, hurt = Campaign(config, folder / "whole"), Campaign(config, folder / "hurt", broken=broken)
    whole.finish()
    draw = random.Random(0)
    for step in sorted(draw.randrange(1, 2 * epochs - 2) for _ in range(kills)):
        hurt.die_after("step", step, draw.uniform(0, 0.05))
    hurt.finish()
    one, other = (sorted((each.folder / "runs" / "supernets").glob("*.safetensors")) for each in (whole, hurt))
    equal = [file.name for file in one] == [file.name for file in other]
    return [
        exactly("SIGKILLs during the training", hurt.kills, kills),
        exactly("supernet of the same recipe", equal, True),
        exactly("supernet's shared weights equal bit for bit", _weights(one) == _weights(other), True),
    ]


def _weights(files: Sequence[Path]) -> list[dict[str, bytes]]:
    """The tensors alone: a file also says how many seconds its training took."""
    from safetensors.numpy import load_file

    return [{name: array.tobytes() for name, array in load_file(file).items()} for file in files]
