"""One driver a campaign: a lease with a heartbeat, and a store whose writes it fences."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from db.errors import Held, LeaseLost, StoreError
from db.records import Lease
from db.store import Store
from glora_search.processes import is_dead, this_process

STALE_AFTER = timedelta(seconds=60)  # without a heartbeat for so long, another driver may take over
BEAT_EVERY = 10.0  # seconds
LAST_BEAT = 1.0  # seconds to wait for a heartbeat under way, which a database that went away may hold up

Clock = Callable[[], datetime]
Taken = TypeVar("Taken")


def utc() -> datetime:
    return datetime.now(UTC)


@contextmanager
def driving(store: Store, name: str, clock: Clock = utc) -> Iterator[Store]:
    """The store, fenced by the campaign's lease, which a thread keeps alive. Raises Held if another driver has it.

    A driver that slept through its lease finds out at its next write, which raises LeaseLost and writes nothing. One
    whose store is gone at the end keeps its lease, which goes stale by itself.
    """
    lease = taking_over(lambda dead: store.acquire(name, this_process(), clock(), STALE_AFTER, dead))
    ended = threading.Event()
    heart = threading.Thread(target=_beat, args=(store, lease, ended, clock), name="heartbeat", daemon=True)
    heart.start()
    try:
        yield store.fenced(lease)
    finally:
        ended.set()
        heart.join(LAST_BEAT)
        with suppress(StoreError):
            store.release(lease)


def taking_over(attempt: Callable[[int | None], Taken]) -> Taken:
    """What takes a lease, tried again with the token of a driver which was killed on this machine, if one holds it."""
    try:
        return attempt(None)
    except Held as held:
        if not is_dead(held.holder):
            raise
        return attempt(held.token)


def _beat(store: Store, lease: Lease, ended: threading.Event, clock: Clock) -> None:
    while not ended.wait(BEAT_EVERY):
        try:
            store.beat(lease, clock())
        except LeaseLost:
            return  # the driver's next write says so
        except StoreError:
            continue  # a busy database, a full disk: the next beat tries again
