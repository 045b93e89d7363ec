"""What hears signals does next to nothing, what speaks to a terminal survives its end, and no process is left."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from db.records import State
from glora_search.control import Control, Paused
from glora_search.display import terminal
from glora_search.exits import INTERRUPTED, heeded, leave
from glora_search.interrupts import interrupts
from workers.reaping import alive, deaf, psutil, reaping

HEARD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Locked:
    """A display with a lock that is not reentrant, as rich's was not."""

    def __init__(self) -> None:
        self.lock, self.notes = threading.Lock(), list[str]()

    def note(self, text: str) -> None:
        with self.lock:
            self.notes.append(text)


class Asked:
    """A store that nobody asks anything."""

    def requested(self, name: str) -> None:
        return None


@pytest.fixture
def control() -> Any:
    return Control(Asked(), "tiny")  # type: ignore[arg-type]


def hit(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", HEARD)
def test_the_first_signal_asks_for_a_pause_and_the_second_raises(control: Any, number: signal.Signals) -> None:
    display: Any = Locked()
    with interrupts(control, display):
        hit(number)
        assert control.closing()
        with pytest.raises(Paused):
            control.require_open()
        with pytest.raises(KeyboardInterrupt):
            hit(number)
    assert len([note for note in display.notes if "Pausing" in note]) == 1, "said once"


def test_a_signal_that_comes_while_something_is_printed_waits_for_nothing(control: Any) -> None:
    display: Any = Locked()
    with interrupts(control, display):
        with display.lock:
            hit(signal.SIGINT)
            assert control.signalled
        deadline = time.monotonic() + 30
        while not display.notes and time.monotonic() < deadline:
            time.sleep(0.01)
        assert display.notes, "said while the campaign goes on"


@pytest.fixture
def nohup() -> Iterator[None]:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGHUP, before)


def test_under_nohup_a_closed_terminal_is_nothing(control: Any, nohup: None) -> None:
    assert signal.SIGHUP not in heeded()
    with interrupts(control, Locked()):  # type: ignore[arg-type]
        hit(signal.SIGHUP)
        assert not control.signalled


def test_a_campaign_hears_a_closed_terminal(workshop: Any, finished: Any, watching: Any) -> None:
    class Closing(watching):  # type: ignore[misc]
        @property
        def bars(self) -> list[str]:
            return []

        @bars.setter
        def bars(self, value: list[str]) -> None: ...

        def note(self, text: str) -> None:
            if "expect about" in text:
                hit(signal.SIGHUP)

    with pytest.raises(Paused):
        workshop.launch(Closing())
    with workshop.store() as store:
        assert store.campaign("tiny").state == State.PAUSED
    workshop.launch()
    assert workshop.found() == finished.found()


# ---- a terminal that was closed


class Closed(io.StringIO):
    """Nobody reads it any more."""

    def __init__(self, error: type[OSError], tty: bool) -> None:
        super().__init__()
        self.error, self.tty = error, tty

    def write(self, text: str) -> int:
        raise self.error(5, "Input/output error")

    def flush(self) -> None:
        raise self.error(5, "Input/output error")

    def isatty(self) -> bool:
        return self.tty


@pytest.mark.parametrize("error", [OSError, BrokenPipeError])
@pytest.mark.parametrize("tty", [True, False])
def test_a_display_outlives_its_terminal(error: type[OSError], tty: bool) -> None:
    display = terminal(Closed(error, tty))
    display.note("Nobody reads this.")
    with display.bar("search", 2) as advance:
        advance(1, "one")
        display.note("Nor this.")
        advance(2, "two")


def test_a_command_whose_terminal_was_closed_ends_with_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Closed(OSError, tty=True))
    with pytest.raises(SystemExit) as end:
        leave("Paused.", INTERRUPTED)
    assert end.value.code == INTERRUPTED


# ---- processes


def started() -> tuple[subprocess.Popen[bytes], Any]:
    """A process, and another that it has started."""
    parent = subprocess.Popen(["sh", "-c", "sleep 600 & echo $!; wait"], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    with parent.stdout as said:
        return parent, psutil.Process(int(said.readline()))


def ends(
    stop: Callable[[Callable[[], None]], object], error: type[BaseException] | None = None
) -> tuple[subprocess.Popen[bytes], Any]:
    """Processes that were started in the context; it is left by the error."""
    with suppress(KeyboardInterrupt, ValueError), reaping(stop):
        processes = started()
        if error is not None:
            raise error
    return processes


def broken(kill: Callable[[], None]) -> None:
    raise ValueError("the shutdown failed")


def interrupted(kill: Callable[[], None]) -> None:
    for number in HEARD:
        hit(number)


@pytest.mark.parametrize("stop", [lambda kill: None, lambda kill: kill(), broken, interrupted])
@pytest.mark.parametrize("error", [None, KeyboardInterrupt, ValueError])
def test_nothing_that_was_started_is_left(stop: Any, error: type[BaseException] | None) -> None:
    parent, child = ends(stop, error)
    parent.wait(30)
    assert not alive(child)


def test_what_was_there_before_stays() -> None:
    parent, child = started()
    ends(lambda kill: None)[0].wait(30)
    try:
        assert parent.poll() is None
        assert alive(child)
    finally:
        child.kill()
        parent.wait(30)


def test_signals_are_heard_again_afterwards() -> None:
    handlers = [signal.getsignal(number) for number in HEARD]
    with deaf():
        for number in HEARD:
            hit(number)
    assert [signal.getsignal(number) for number in HEARD] == handlers
