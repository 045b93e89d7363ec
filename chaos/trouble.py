"""T19: disks fill, databases vanish, clocks jump. A campaign pauses with a message, and goes on as if nothing had been.

Each trouble is played on the real command line, in this process, in the middle of a campaign; then it is mended, the
database is checked, and the campaign resumed.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

from sqlalchemy import Connection, event
from typer.testing import CliRunner

from chaos.figures import Figure, exactly
from chaos.tiny import tiny
from db.errors import LeaseLost
from db.store import Store, open_store
from glora_search import campaign, driving, shared_weights
from glora_search.cli import app
from glora_search.display import Silent
from glora_search.driving import STALE_AFTER, utc
from glora_search.exits import INTERRUPTED, heeded
from glora_search.places import Places
from glora_search.settings import read_config
from supernet import checkpoint, export

PAUSED, SAME = "paused, database sound, resumed to the same", "ended, the same"
OVERTAKEN = "is told, writes 0 results"
NAME, STRIKE = "tiny", 9  # the result, of 18, that is the first to meet with trouble


@dataclass(frozen=True)
class Place:
    """Where one campaign lies."""

    folder: Path
    config: Path

    @property
    def db(self) -> Path:
        return self.folder / "glora.db"

    @property
    def options(self) -> tuple[str, ...]:
        return "--db", str(self.db), "--runs", str(self.folder / "runs")

    def found(self) -> list[tuple[Any, ...]]:
        with open_store(str(self.db), create=False) as store:
            return [(each.id, each.genome, each.accuracy, each.loss) for each in store.candidates(NAME)]


Trouble = Callable[[Place], AbstractContextManager[None]]  # it is mended when the context ends


def command(*arguments: object) -> tuple[int, str]:
    """(exit code, stderr) of a command of the program, in this process."""
    before = {number: signal.getsignal(number) for number in heeded()}
    try:
        result = CliRunner().invoke(app, [str(each) for each in arguments])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        return result.exit_code, f"Traceback: {result.exception!r}"
    return result.exit_code, result.stderr


# ---- the store


@contextmanager
def striking(act: Callable[[Store], None]) -> Iterator[None]:
    """Do something to the store just before it is to record a result."""
    record, heard = Store.record, 0

    def struck(store: Store, *arguments: Any) -> Any:
        nonlocal heard
        heard += 1
        if heard == STRIKE:
            act(store)
        return record(store, *arguments)

    with patch.object(Store, "record", struck):
        yield


def pragma(text: str) -> Trouble:
    """A setting of SQLite's that the campaign's connections have from then on."""

    def set_up(connection: Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA {text}")

    def trouble(place: Place) -> AbstractContextManager[None]:
        return striking(lambda store: event.listen(store._engine, "begin", set_up, insert=True))

    return trouble


@contextmanager
def removed(place: Place) -> Iterator[None]:
    """The database's files are moved away, and afterwards back."""
    aside = place.folder / "aside"
    aside.mkdir()

    def move(store: Store) -> None:
        for file in list(place.folder.glob("glora.db*")):
            file.rename(aside / file.name)

    with striking(move):
        yield
    for file in place.folder.glob("glora.db*"):
        file.unlink()
    for file in list(aside.iterdir()):
        file.rename(place.folder / file.name)


# ---- the runs folder


def full(module: Any, number: int = errno.ENOSPC) -> Trouble:
    """What a module of the supernet saves meets an error of the operating system."""

    @contextmanager
    def trouble(place: Place) -> Iterator[None]:
        error = OSError(number, os.strerror(number))
        with patch.object(module, "save_file", side_effect=error), patch.object(shared_weights, "CHECKPOINT_EVERY", 0):
            yield

    return trouble


TROUBLES: dict[str, Trouble] = {
    "disk of the database full": pragma("max_page_count = 1"),
    "database read-only": pragma("query_only = ON"),
    "database removed": removed,
    "no space for a checkpoint or the supernet": full(checkpoint),
    "no space for the export": full(export),
    "file system read-only at the export": full(export, errno.EROFS),
    "disk that fails at the export": full(export, errno.EIO),
}


def trouble(folder: Path) -> list[Figure]:
    """Every trouble, and a driver's clock that jumps."""
    config = tiny(folder / "inputs")
    whole = Place(folder / "whole", config)
    whole.folder.mkdir()
    code, said = command("launch", config, *whole.options)
    assert code == 0, said
    return [
        *(exactly(what, meet(Place(folder / what, config), whole, each), PAUSED) for what, each in TROUBLES.items()),
        *(
            exactly(f"driver's clock jumps an hour {way}", jump(Place(folder / way, config), whole, hours), SAME)
            for way, hours in (("forward", 1), ("backward", -1))
        ),
        exactly("after a rival an hour ahead took over", overtaken(Place(folder / "rival", config)), OVERTAKEN),
    ]


def meet(place: Place, whole: Place, trouble: Trouble) -> str:
    """How a campaign gets on with a trouble: PAUSED, or what is wrong."""
    place.folder.mkdir()
    with trouble(place):
        code, said = command("launch", place.config, *place.options)
    if code != INTERRUPTED or f"glora-search resume {NAME}" not in said or "Once that is mended" not in said:
        return f"exit {code}: {said[-200:]}"
    checked, said = command("db", "check", "--db", place.db)
    if checked != 0:
        return f"paused, database not sound: {said[-200:]}"
    with patch.object(driving, "STALE_AFTER", timedelta(0)):  # a lease that could not be given back goes stale in 60 s
        resumed, said = command("resume", NAME, *place.options)
    if resumed != 0:
        return f"paused, database sound, exit {resumed}: {said[-200:]}"
    return PAUSED if place.found() == whole.found() else "paused, database sound, resumed to something else"


# ---- clocks


class Jumping:
    """A clock that is set back or forward once it was read a number of times."""

    def __init__(self, hours: float, after: int = 2) -> None:
        self.hours, self.left = hours, after

    def __call__(self) -> datetime:
        self.left -= 1
        return utc() + timedelta(hours=self.hours if self.left < 0 else 0)


def jump(place: Place, whole: Place, hours: float) -> str:
    """A campaign whose driver's clock jumps between two heartbeats."""
    place.folder.mkdir()
    clock = Jumping(hours)
    with patch.object(driving, "BEAT_EVERY", 0.01):
        carry(place, clock)
    if clock.left >= 0:
        return "the clock was not read again"
    return SAME if place.found() == whole.found() else "ended, something else"


def overtaken(place: Place) -> str:
    """What a driver does after one whose clock is an hour ahead has taken over."""
    place.folder.mkdir()

    def take_over(store: Store) -> None:
        with open_store(str(place.db)) as rival:
            rival.acquire(NAME, "a rival", utc() + timedelta(hours=1), STALE_AFTER)

    with striking(take_over):
        try:
            carry(place, utc)
        except LeaseLost as lost:
            told = "is told" if "a rival runs it" in str(lost) else "is told nothing"
        else:
            told = "goes on"
    late = sum(accuracy is not None for _, _, accuracy, _ in place.found()) - (STRIKE - 1)
    return f"{told}, writes {late} results"


def carry(place: Place, clock: driving.Clock) -> None:
    """The campaign under another clock."""
    settings = read_config(place.config)
    campaign.run(settings, str(place.db), Places(place.folder / "runs"), Silent(), clock=clock)
