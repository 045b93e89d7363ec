"""Many processes on one database at once: `python -m chaos.crowd PART URL ...`, which `many` starts.

Everything heavy is imported once; then children are forked, open their own store and wait until all have. A child
says what happened as one line of JSON, written whole.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import alembic.command  # noqa: F401  (once, before the forks)
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session, configure_mappers

import db.store
from db import schema
from db.engine import connect, told, writing
from db.errors import Held
from db.records import EvaluationKey, Outcome, Proposal, Status
from db.store import Store, open_store

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
KEY = EvaluationKey("fingerprint", "split", "bf16")
ROOT = Path(__file__).parent.parent
POLL = 0.1  # seconds between two looks of a reader


def many(part: str, *arguments: object, timeout: float = 300) -> list[dict[str, Any]]:
    """Run a part to its end, for at most `timeout` seconds; what its processes said, in order of saying."""
    command = [sys.executable, "-m", "chaos.crowd", part, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=environment, text=True, start_new_session=True, **pipes) as running:
        try:
            said, complained = running.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)  # the children too
            raise
    assert (running.returncode, complained) == (0, ""), complained
    return [json.loads(line) for line in said.splitlines()]


def say(**what: object) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


def forked(work: Callable[[], None]) -> int:
    """Start a child; one that fails says how and exits with 1."""
    if child := os.fork():
        return child
    try:
        work()
    except BaseException as error:
        say(error=f"{type(error).__name__}: {error}")
        os._exit(1)
    os._exit(0)


Part = Callable[[Store], None]
Wait = Callable[[], None]


def together(url: str, parts: Sequence[Part]) -> None:
    """Run each part in a child with a store of its own; all start at the same moment."""

    def child(part: Part, wait: Wait) -> None:
        with open_store(url, create=False) as store:
            store.campaigns()  # connected
            wait()
            part(store)

    at_once([partial(child, part) for part in parts])


def at_once(parts: Sequence[Callable[[Wait], None]]) -> None:
    """Run each part in a child and hand it a function that returns at the same moment for all: once all have called it.

    Two pipes say so by their ends: `ready` when the last child has closed its copy, `start` when the parent has.
    """
    ready, getting_ready = os.pipe()
    waiting, start = os.pipe()

    def wait() -> None:
        os.close(start)
        os.close(getting_ready)
        os.read(waiting, 1)

    children = [forked(partial(part, wait)) for part in parts]
    os.close(getting_ready)
    os.read(ready, 1)
    os.close(start)
    for number in children:
        os.waitpid(number, 0)
    os.close(ready)
    os.close(waiting)


def acquire(url: str, processes: str, *names: str) -> None:
    """Every process tries to run every campaign; says who got which."""

    def race(store: Store) -> None:
        for name in names:
            with suppress(Held):
                lease = store.acquire(name, f"process {os.getpid()}", NOON, MINUTE)
                say(name=name, token=lease.token)

    together(url, [race] * int(processes))


def acquire_naively(url: str, processes: str, *names: str) -> None:
    """The same, looking first and then writing: what `acquire` must not do."""

    def race(store: Store) -> None:
        for name in names:
            with store._engine.connect() as connection:
                held = connection.scalar(text("SELECT holder FROM leases WHERE name = :name"), {"name": name})
            if held is None:
                time.sleep(0.002)
                with writing(store._engine) as session:
                    taken = "UPDATE leases SET holder = 'me', token = token + 1 WHERE name = :name RETURNING token"
                    say(name=name, token=session.scalar(text(taken), {"name": name}))

    together(url, [race] * int(processes))


def upgrade(url: str, processes: str) -> None:
    """Every process brings the database to the newest schema, with tables or without."""

    def race(wait: Callable[[], None]) -> None:
        engine = connect(url)
        wait()
        say(copied=str(schema.upgrade(engine)))

    at_once([race] * int(processes))


def make(url: str, processes: str) -> None:
    """Every process opens a database that is not there yet."""

    def race(wait: Callable[[], None]) -> None:
        wait()
        with open_store(url) as store:
            say(campaigns=len(store.campaigns()))

    at_once([race] * int(processes))


def score(url: str, writers: str, readers: str, each: str, keys: str = "one", how: str = "immediate") -> None:
    """Writers propose and score a campaign each, until then readers look on at 10 Hz; both say how often.

    With `one` key they all share their evaluations; with their `own`, each pays for its own. Writers also say how long
    each transaction took, in milliseconds. With `deferred` they take SQLite's lock only at their first write, after
    they have read, which is the mistake to find.
    """
    if how == "deferred":
        db.store.writing = _deferred  # type: ignore[attr-defined]
    done, working = os.pipe()
    parts = [partial(_score, name=f"c{i}", each=int(each), keys=keys) for i in range(int(writers))]
    reading = os.fork()
    if reading == 0:
        os.close(working)
        os.set_blocking(done, False)
        together(url, [partial(_look, done=done)] * int(readers))
        os._exit(0)
    together(url, parts)
    os.close(working)
    os.waitpid(reading, 0)


@contextmanager
def _deferred(engine: Engine, durable: bool = False) -> Iterator[Session]:
    """`db.engine.writing` without saying that it writes."""
    with told(engine), Session(engine) as session, session.begin():
        yield session


def _score(store: Store, name: str, each: int, keys: str) -> None:
    key = KEY if keys == "one" else EvaluationKey(name, "split", "bf16")
    marks = [time.perf_counter()]
    for i in range(each):
        store.propose(name, i, [Proposal(i, f"genome {i}", "random", (), i)])
        marks.append(time.perf_counter())
        store.record(name, i, key, Outcome(Status.COMPLETED, 0.5, 1.0, 0.1, name))
        marks.append(time.perf_counter())
    took = [round(1000 * (end - begin), 2) for begin, end in pairwise(marks)]
    for start in range(0, len(took), 200):  # a pipe keeps 4 KiB whole
        say(took=took[start : start + 200])
    say(wrote=len(took))


def _look(store: Store, done: int) -> None:
    """As a dashboard does: the campaigns, then of one after the other how far it is and what it found."""
    seen: dict[str, int] = {}
    reads, begin = 0, time.monotonic()
    while not _ended(done):
        campaigns = store.campaigns()
        name = campaigns[reads % len(campaigns)].name
        progress = store.progress(name)
        store.candidates(name, where="accuracy > 0.1", order_by="-accuracy", limit=20)
        front = store.candidates(name, where="accuracy > 0.1", front=True)
        assert len(front) == 1 or not progress.completed, "all are as accurate, one is the smallest"
        now_seen = len(store.candidates(name))
        assert now_seen >= max(seen.get(name, 0), progress.proposed + progress.completed), "what was seen once stays"
        reads, seen[name] = reads + 1, now_seen
        time.sleep(max(0, begin + reads * POLL - time.monotonic()))
    say(read=reads)


def _ended(pipe: int) -> bool:
    """Whether nobody holds the other end any more."""
    try:
        return os.read(pipe, 1) == b""
    except BlockingIOError:
        return False


def killed(url: str, kills: str, how: str) -> None:
    """A writer that acknowledges each commit through a pipe is killed again and again; says what was acknowledged.

    `after` acknowledges what was committed; `before` does so inside the transaction, which is the mistake to find.
    """
    draw, acknowledged = random.Random(0), 0
    for _ in range(int(kills)):
        heard, told = os.pipe()
        child = forked(partial(_write_until_killed, url, told, acknowledged, how))
        os.close(told)
        for _ in range(draw.randint(1, 8) if how == "after" else 1):
            acknowledged = int.from_bytes(os.read(heard, 4)) + 1
        time.sleep(draw.uniform(0, 0.003))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        while line := os.read(heard, 4):
            acknowledged = int.from_bytes(line) + 1
        os.close(heard)
    say(acknowledged=acknowledged)


def _write_until_killed(url: str, told: int, first: int, how: str) -> None:
    if how == "before":
        with writing(connect(url)) as session:
            session.execute(text("UPDATE campaigns SET state = 'finished'"))
            os.write(told, first.to_bytes(4))
            time.sleep(60)
    with open_store(url) as store:
        for i in range(first, 10**6):
            store.propose("digits", i, [Proposal(i, f"genome {i}", "random", (), i)])
            store.record("digits", i, KEY, Outcome(Status.COMPLETED, 0.5, 1.0, 0.1, "w0"))
            os.write(told, i.to_bytes(4))


PARTS: dict[str, Callable[..., None]] = {
    "acquire": acquire,
    "naively": acquire_naively,
    "upgrade": upgrade,
    "make": make,
    "score": score,
    "killed": killed,
}

if __name__ == "__main__":
    configure_mappers()  # once, before the forks
    PARTS[sys.argv[1]](*sys.argv[2:])
