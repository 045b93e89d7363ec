"""Writers of one SQLite database take turns: first come, first served.

SQLite has no queue. A writer that finds the database locked looks again after a while, so that of many writers some
always come too late: with 32 of them one transaction in a hundred waited for 14 times the median. Here each draws a
ticket from a small file beside the database, locks the byte of its ticket, and waits until the byte of the ticket
before is free, which it also is when that writer has died (a queue lock: Craig 1993, Magnusson et al. 1994). Whoever
ends a turn wakes the next, if there is one, by a datagram to an address that carries its ticket.

The queue is for fairness alone; that two never write at once stays SQLite's affair. So whatever goes wrong here (no
right to make the file, a stopped process in the queue) ends the waiting, never the transaction.

    bytes 0-7    the next ticket        byte 16    locked while a ticket is drawn
    byte 1024 + n    locked by the holder of ticket n, from the drawing to the end of its turn
"""

import fcntl
import os
import socket
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PATIENCE = 2.0  # seconds in the queue, after which a writer asks SQLite directly
UNWOKEN = 0.05  # seconds after which a waiter looks whether the one before has died
DRAWING, TICKETS = 16, 1024
NUMBER = struct.Struct("=q")


@contextmanager
def turn(path: Path | None) -> Iterator[None]:
    """Wait for one's turn to write to the database at `path`, and end it with the context; None takes no turns."""
    queue = _open(path) if path is not None and sys.platform == "linux" else None
    if queue is None:
        yield
        return
    ticket = None
    try:
        with suppress(OSError):  # no locks on this file system, a full disk: no turns
            ticket = _draw(queue)
            _wait(queue, ticket)
        yield
    finally:
        try:
            with suppress(OSError):
                if ticket is not None and _followed(queue, ticket):
                    _wake(_name(queue), ticket + 1)
        finally:
            os.close(queue)  # and with it its locks, which are those of an open file: threads may queue too


def _open(path: Path) -> int | None:
    """The queue's file, made if it may be."""
    with suppress(OSError):
        return os.open(f"{path}-queue", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    return None


def _draw(queue: int) -> int:
    """A ticket, with its byte locked."""
    fcntl.fcntl(queue, fcntl.F_OFD_SETLKW, _flock(fcntl.F_WRLCK, DRAWING))  # held for microseconds
    ticket = _next(queue)
    os.pwrite(queue, NUMBER.pack(ticket + 1), 0)
    _free(queue, TICKETS + ticket)
    fcntl.fcntl(queue, fcntl.F_OFD_SETLK, _flock(fcntl.F_UNLCK, DRAWING))
    return ticket


def _followed(queue: int, ticket: int) -> bool:
    """End the turn; whether a ticket was drawn meanwhile. Who draws the next one later finds this one's byte free."""
    fcntl.fcntl(queue, fcntl.F_OFD_SETLK, _flock(fcntl.F_UNLCK, TICKETS + ticket))
    return _next(queue) > ticket + 1


def _next(queue: int) -> int:
    """The next ticket to be drawn."""
    found = os.pread(queue, NUMBER.size, 0)
    return int(NUMBER.unpack(found)[0]) if len(found) == NUMBER.size else 0


def _wait(queue: int, ticket: int) -> None:
    """Return when the turn of the ticket has come, or patience has ended."""
    before = TICKETS + ticket - 1
    if _free(queue, before):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bell:
        bell.settimeout(UNWOKEN)
        bell.bind(_address(_name(queue), ticket))  # first, so that no ringing is missed between look and wait
        deadline = time.monotonic() + PATIENCE
        while not _free(queue, before) and time.monotonic() < deadline:
            with suppress(TimeoutError):
                bell.recv(1)


def _wake(name: str, ticket: int) -> None:
    """Ring for the holder of the ticket, if one waits."""
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bell:
        bell.setblocking(False)
        bell.sendto(b".", _address(name, ticket))


def _name(queue: int) -> str:
    """The same in all processes of this machine that queue for this database."""
    about = os.fstat(queue)
    return f"{about.st_dev}-{about.st_ino}"


def _address(name: str, ticket: int) -> str:
    """In Linux's abstract namespace: no file, and gone with the process."""
    return f"\0glora-search-turn-{name}-{ticket}"


def _free(queue: int, byte: int) -> bool:
    """Whether nobody else holds the byte; then it is locked."""
    try:
        fcntl.fcntl(queue, fcntl.F_OFD_SETLK, _flock(fcntl.F_WRLCK, byte))
    except (BlockingIOError, PermissionError):
        return False
    return True


def _flock(kind: int, byte: int) -> bytes:
    """A `struct flock` for one byte, counted from the file's start."""
    return struct.pack("@hhqqi0q", kind, os.SEEK_SET, byte, 1, 0)
