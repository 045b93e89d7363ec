"""Many processes on one database at once: `python crowd.py PART URL ...`, started by the fixture `crowd`.

Everything heavy is imported once; then children are forked, open their own store and wait until all have. A child
says what happened as one line of JSON, written whole.
"""

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import alembic.command  # noqa: F401  (once, before the forks)
from sqlalchemy import text
from sqlalchemy.orm import configure_mappers

from db import schema
from db.engine import connect, writing
from db.errors import Held
from db.records import EvaluationKey, Outcome, Proposal, Status
from db.store import Store, open_store

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
KEY = EvaluationKey("fingerprint", "split", "bf16")


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


def together(url: str, parts: list[Callable[[Store], None]]) -> None:
    """Run each part in a child with a store of its own; all start at the same moment."""

    def child(part: Callable[[Store], None], wait: Callable[[], None]) -> None:
        with open_store(url, create=False) as store:
            store.campaigns()  # connected
            wait()
            part(store)

    at_once([lambda wait, part=part: child(part, wait) for part in parts])


def at_once(parts: list[Callable[[Callable[[], None]], None]]) -> None:
    """Run each part in a child and hand it a function that returns at the same moment for all."""
    waiting, start = os.pipe()

    def wait() -> None:
        os.close(start)
        os.read(waiting, 1)  # ends when the parent closes the other end

    children = [forked(lambda part=part: part(wait)) for part in parts]
    time.sleep(0.2)
    os.close(start)
    for number in children:
        os.waitpid(number, 0)


def acquire(url: str, processes: str, *names: str) -> None:
    """Every process tries to run every campaign."""

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


def score(url: str, writers: str, readers: str, each: str) -> None:
    """Writers propose and score a campaign each, until then readers look at all of it; both say how often."""
    done, working = os.pipe()

    def write(store: Store, name: str) -> None:
        for i in range(int(each)):
            store.propose(name, i, [Proposal(i, f"genome {i}", "random", (), i)])
            store.record(name, i, KEY, Outcome(Status.COMPLETED, 0.5, 1.0, 0.1, name))
        say(wrote=2 * int(each))

    def read(store: Store) -> None:
        reads, seen = 0, 0
        while not _ended(done):
            for campaign in store.campaigns():
                progress = store.progress(campaign.name)
                assert progress.proposed + progress.completed <= int(each)
                store.candidates(campaign.name, where="accuracy > 0.1", front=True)
            now_seen = sum(len(store.candidates(campaign.name)) for campaign in store.campaigns())
            assert now_seen >= seen, "what was seen once stays"
            reads, seen = reads + 1, now_seen
            time.sleep(0.05)
        say(read=reads)

    parts = [lambda store, name=f"c{i}": write(store, name) for i in range(int(writers))]
    reading = os.fork()
    if reading == 0:
        os.close(working)
        os.set_blocking(done, False)
        together(url, [read] * int(readers))
        os._exit(0)
    together(url, parts)
    os.close(working)
    os.waitpid(reading, 0)


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
        child = forked(lambda told=told, first=acknowledged: _write_until_killed(url, told, first, how))
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


PARTS = {
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
