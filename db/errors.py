"""What can go wrong with the store, each as one sentence for a person: expected, came, what to do."""

from collections.abc import Iterable
from datetime import datetime
from difflib import get_close_matches


class StoreError(Exception):
    """Base of everything the store tells a person; `str()` is the whole message."""


class NotFound(StoreError):
    """The database, the campaign or the candidate that was asked for does not exist."""


class NameTaken(StoreError):
    """A campaign of that name exists already."""


class NewerSchema(StoreError):
    """The database was written by a later version of the program than this one."""


class ReplayMismatch(StoreError):
    """A replayed search proposes something else than what the store remembers of it."""


class Held(StoreError):
    """Another process runs the campaign, or did a moment ago."""

    def __init__(
        self, message: str, holder: str, token: int, since: datetime, heartbeat: datetime, free_after: datetime
    ) -> None:
        self.holder = holder
        self.token = token  # of its lease
        self.since = since  # UTC, as the next two
        self.heartbeat = heartbeat  # the last one
        self.free_after = free_after  # then the lease may be taken over, if no other heartbeat comes
        super().__init__(message)


class LeaseLost(StoreError):
    """This process runs the campaign no longer: another took it over, or its lease was released."""


class BadQuery(StoreError):
    """A filter or an order that cannot be understood; shows the text with a caret line under the offending part."""

    def __init__(self, reason: str, text: str, position: int, length: int = 1) -> None:
        self.reason = reason
        self.text = text
        self.position = position  # index of the first offending character in `text`
        self.length = max(length, 1)  # offending characters
        super().__init__(f"{reason}\n{self._marked()}")

    def _marked(self) -> str:
        start = self.text.rfind("\n", 0, self.position) + 1
        line = self.text[start:].partition("\n")[0]
        column = self.position - start
        carets = "^" * max(min(self.length, len(line) - column), 1)
        shown = "".join(c if c.isprintable() else "?" if c != "\t" else " " for c in line)
        return f"  {shown}\n  {' ' * column}{carets}"


def nearest(word: str, known: Iterable[str]) -> str:
    """`"; did you mean 'accuracy'?"` for the known word closest to `word`, or nothing when none is close."""
    close = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""
