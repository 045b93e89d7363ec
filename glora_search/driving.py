"""One driver a campaign: a lease with a heartbeat, and a store whose writes it fences."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from db.errors import LeaseLost, StoreError
from db.records import Lease
from db.store import Store

STALE_AFTER = timedelta(seconds=60)  # without a heartbeat for so long, another driver may take over
BEAT_EVERY = 10.0  # seconds

Clock = Callable[[], datetime]


def utc() -> datetime:
    return datetime.now(UTC)


@contextmanager
def driving(store: Store, name: str, clock: Clock = utc) -> Iterator[Store]:
    """The store, fenced by the campaign's lease, which a thread keeps alive. Raises Held if another driver has it.

    A driver that slept through its lease finds out at its next write, which raises LeaseLost and writes nothing.
    """
    lease = store.acquire(name, f"{socket.gethostname()}, process {os.getpid()}", clock(), STALE_AFTER)
    ended = threading.Event()
    heart = threading.Thread(target=_beat, args=(store, lease, ended, clock), name="heartbeat", daemon=True)
    heart.start()
    try:
        yield store.fenced(lease)
    finally:
        ended.set()
        heart.join()
        store.release(lease)


def _beat(store: Store, lease: Lease, ended: threading.Event, clock: Clock) -> None:
    while not ended.wait(BEAT_EVERY):
        try:
            store.beat(lease, clock())
        except LeaseLost:
            return  # the driver's next write says so
        except StoreError:
            continue  # a busy database, a full disk: the next beat tries again
