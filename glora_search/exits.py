"""How commands end: a clear sentence on stderr and an exit code; no traceback for a person's mistake."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

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
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(OK) from None
    except KeyboardInterrupt:
        leave("Interrupted.", INTERRUPTED)


def leave(sentence: str, code: int) -> NoReturn:
    """Say why, on stderr, and end with the code."""
    print(sentence, file=sys.stderr)
    raise SystemExit(code)


def terminate_as_interrupt() -> None:
    """SIGTERM pauses as the first Ctrl-C does."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
