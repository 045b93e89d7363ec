"""Signals: the first Ctrl-C or SIGTERM pauses a campaign at its next safe point, the second stops it at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from glora_search.control import Control
from glora_search.display import Display

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interrupts(control: Control, display: Display) -> Iterator[None]:
    """Within the context signals are the campaign's; afterwards what they were before."""
    heard = 0

    def hear(number: int, frame: FrameType | None) -> None:
        nonlocal heard
        heard += 1
        if heard > 1:
            raise KeyboardInterrupt
        control.interrupt()
        display.note("Pausing: what is in flight is finished first. Once more stops at once.")

    before = {number: signal.signal(number, hear) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
