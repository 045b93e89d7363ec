"""What a person sees while a campaign runs: notes and progress bars, on stderr."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import IO, Any, Protocol, TextIO, cast

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from glora_search.exits import swallow

Advance = Callable[[int, str], None]  # (done so far, what to say of it)


class Display(Protocol):
    """Where a campaign says what it is doing."""

    def note(self, text: str) -> None:
        """One line."""

    def bar(self, title: str, total: int) -> AbstractContextManager[Advance]:
        """A bar that the returned function moves."""


class Silent:
    """Says nothing."""

    def note(self, text: str) -> None:
        pass

    @contextmanager
    def bar(self, title: str, total: int) -> Iterator[Advance]:
        yield lambda done, text: None


class Lasting:
    """A stream that may be lost, as a closed terminal or a pipe without a reader is; from then on it takes all."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._try(self._stream.write, text)
        return len(text)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _try(self, act: Callable[..., object], *arguments: str) -> None:
        try:
            act(*arguments)
        except OSError:  # before rich sees it, which would end the program, or its own thread with a traceback
            swallow(self._stream)


def terminal(stream: TextIO) -> Terminal:
    """A display on stderr which outlives the terminal."""
    return Terminal(Console(file=cast("IO[str]", Lasting(stream))))


class Rate(ProgressColumn):
    """So many a second, of late."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f}/s" if task.speed else "")


class Terminal:
    """Rich bars on a terminal; elsewhere a line for each tenth, so that logs stay readable."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def note(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def bar(self, title: str, total: int) -> Iterator[Advance]:
        if not self.console.is_terminal:
            yield self._lines(title, total)
            return
        columns = (TextColumn("{task.description:<22}"), BarColumn(None), MofNCompleteColumn(), TimeElapsedColumn())
        left = (Rate(), TextColumn("eta"), TimeRemainingColumn(), TextColumn("{task.fields[text]}"))
        with Progress(*columns, *left, console=self.console, expand=True) as progress:
            task = progress.add_task(title, total=total, text="")
            yield lambda done, text: progress.update(task, completed=done, text=text)

    def _lines(self, title: str, total: int) -> Advance:
        step, said = max(1, total // 10), 0
        first: tuple[int, float] | None = None  # heard so far, and when: what was resumed is no part of the pace

        def advance(done: int, text: str) -> None:
            nonlocal said, first
            now = time.monotonic()
            first = first or (done, now)
            if done // step > said or done == total:
                said = done // step
                pace = _pace(done - first[0], total - done, now - first[1])
                self.note(f"{title}: {done}/{total} {text}".rstrip() + pace)

        return advance


def _pace(done: int, left: int, seconds: float) -> str:
    """`, 2.5/s, 3 min left`; nothing at the end, nor at the beginning."""
    if not left or not done or not seconds:
        return ""
    return f", {done / seconds:.1f}/s, {minutes(left * seconds / done)} left"


def minutes(seconds: float) -> str:
    """`40 s`, `7 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
