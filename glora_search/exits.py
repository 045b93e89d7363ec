"""How commands end: a clear sentence on stderr and an exit code; no traceback for a person's mistake."""

from __future__ import annotations

import atexit
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn, TextIO

OK, OTHER, USAGE, NOT_FOUND, INFEASIBLE, INTERRUPTED = 0, 1, 2, 3, 4, 5


@contextmanager
def civil() -> Iterator[None]:
    """Turn errors that a person can mend into a sentence and an exit code."""
    from db.errors import NotFound, StoreError
    from supernet.errors import BadInput, Infeasible

    try:
        yield
        sys.stdout.flush()  # here, where a closed pipe is still caught
    except NotFound as error:
        leave(str(error), NOT_FOUND)
    except Infeasible as error:
        leave(str(error), INFEASIBLE)
    except (BadInput, StoreError) as error:
        leave(str(error), USAGE)
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        swallow(sys.stdout)
        raise SystemExit(OK) from None
    except KeyboardInterrupt:
        leave("Interrupted.", INTERRUPTED)


def leave(sentence: str, code: int) -> NoReturn:
    """Say why, on stderr if anybody still reads it, and end with the code."""
    try:
        print(sentence, file=sys.stderr, flush=True)
    except OSError:  # the terminal was closed
        swallow(sys.stderr)
    raise SystemExit(code)


def swallow(stream: TextIO) -> None:
    """Have a stream that nobody reads any more take everything: also Python's own flush at the end would fail."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def heeded() -> tuple[signal.Signals, ...]:
    """The signals that end a command: Ctrl-C, a polite kill, a closed terminal (which `nohup` has one ignore)."""
    always = signal.SIGINT, signal.SIGTERM
    return always if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else (*always, signal.SIGHUP)


def terminate_as_interrupt() -> None:
    """SIGTERM and SIGHUP end this process as Ctrl-C does, until it has ended: then all that is left is to be gone."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    for number in heeded():
        signal.signal(number, interrupt)
    atexit.register(_ignore)


def _ignore() -> None:
    """Python, as it ends, has signals kill it again; one that comes in that second would change the exit code."""
    for number in heeded():
        signal.signal(number, signal.SIG_IGN)
