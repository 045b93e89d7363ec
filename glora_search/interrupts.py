"""Signals: the first pauses a campaign at its next safe point, the second stops it at once.

A handler runs between any two steps of the main thread, which may hold a lock (rich's, a logger's) that the handler
would wait for in vain. So it counts and sets a flag; a thread of its own says what a person should know.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from glora_search.control import Control
from glora_search.display import Display
from glora_search.exits import heeded

LOOK = 0.1  # seconds between two looks at the flag


@contextmanager
def interrupts(control: Control, display: Display) -> Iterator[None]:
    """Within the context signals are the campaign's; afterwards what they were before. Raises KeyboardInterrupt."""
    heard, ended = 0, threading.Event()

    def hear(number: int, frame: FrameType | None) -> None:
        nonlocal heard
        heard += 1
        if heard > 1:
            raise KeyboardInterrupt
        control.interrupt()

    crier = threading.Thread(target=_cry, args=(control, display, ended), name="crier", daemon=True)
    crier.start()
    before = {number: signal.signal(number, hear) for number in heeded()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        ended.set()
        crier.join()


def _cry(control: Control, display: Display, ended: threading.Event) -> None:
    """Say once that a signal was heard, within LOOK seconds and also if that was the end."""
    while not control.signalled and not ended.wait(LOOK):
        pass
    if control.signalled:
        display.note("Pausing: what is in flight is finished first. Once more stops at once.")
