"""What a campaign is asked while it runs: by a row in the database, or by a signal to its process."""

from __future__ import annotations

import time
from collections.abc import Callable

from db.records import Command
from db.store import Store

POLL = 0.5  # seconds between two looks at the database


class Paused(Exception):
    """The campaign was asked to pause, interrupted or stopped by the world; what it recorded is kept, to be resumed."""

    def __init__(self, name: str, reason: str = "") -> None:
        self.reason = reason  # what has to be mended first; empty if somebody asked for the pause
        super().__init__(f"{name}: {reason}" if reason else name)


class Cancelled(Exception):
    """The campaign was asked to end at once; what it recorded is kept."""


class Control:
    """Asked often, looks at the database now and then; without one, only signals ask for anything."""

    def __init__(self, store: Store | None, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.store, self.name, self.clock = store, name, clock
        self.signalled = False
        self._asked: Command | None = None
        self._looked = -POLL

    def interrupt(self) -> None:
        """A signal asks for a pause. Sets a flag and no more, since a signal's handler may do no more."""
        self.signalled = True

    def asked(self, at_once: bool = False) -> Command | None:
        """`cancel`, `stop`, `pause` or None; a signal is a pause unless the database asks to cancel.

        `at_once`: whatever the database was asked until this moment counts.
        """
        now = self.clock()
        if self.store is not None and (now - self._looked >= POLL or at_once):
            self._looked, self._asked = now, self.store.requested(self.name)
        return "pause" if self.signalled and self._asked != "cancel" else self._asked

    def closing(self) -> bool:
        """Whether no new candidate may be started."""
        return self.asked() in ("pause", "cancel")

    def require_open(self, at_once: bool = False) -> None:
        """Raises Cancelled or Paused if that was asked."""
        match self.asked(at_once):
            case "cancel":
                raise Cancelled(self.name)
            case "pause":
                raise Paused(self.name)
            case _:
                return

    def require_not_cancelled(self) -> None:
        """Raises Cancelled if that was asked: a pause waits for what is in flight."""
        if self.asked() == "cancel":
            raise Cancelled(self.name)

    def stopping(self) -> bool:
        """Whether the search ends with this generation."""
        return self.asked() == "stop"
