"""What a person sees of a search that runs: how far it is, how fast, and how long still."""

from __future__ import annotations

import io
from itertools import count

import pytest
from rich.console import Console
from rich.progress import ProgressSample, Task

from glora_search import display
from glora_search.display import Rate, Terminal, minutes


def test_a_log_says_the_pace_and_the_time_left_of_each_tenth(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = count(100.0, 2.0)  # seconds, at each advance
    monkeypatch.setattr(display.time, "monotonic", lambda: next(clock))
    said = io.StringIO()
    with Terminal(Console(file=said)).bar("search", 20) as advance:
        for done in range(1, 21):
            advance(done, "generation 1")
    lines = said.getvalue().splitlines()
    assert lines[0] == "search: 2/20 generation 1, 0.5/s, 36 s left"
    assert lines[-1] == "search: 20/20 generation 1"
    assert len(lines) == 10


def test_what_was_done_before_a_resume_is_no_part_of_the_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = count(100.0, 2.0)
    monkeypatch.setattr(display.time, "monotonic", lambda: next(clock))
    said = io.StringIO()
    with Terminal(Console(file=said)).bar("training", 240) as advance:
        for done in range(36, 73):
            advance(done, "")
    assert said.getvalue().splitlines() == [
        "training: 36/240",
        "training: 48/240, 0.5/s, 6 min left",
        "training: 72/240, 0.5/s, 6 min left",
    ]


def test_a_bar_says_the_pace_and_the_time_left() -> None:
    said = io.StringIO()
    with Terminal(Console(file=said, force_terminal=True, width=150)).bar("search", 20) as advance:
        for done in range(1, 6):
            advance(done, "generation 1")
    assert "5/20" in said.getvalue()
    assert "eta" in said.getvalue()
    assert "generation 1" in said.getvalue()


def test_the_pace_is_that_of_late_and_nothing_before_there_is_one() -> None:
    clock = count(0.0, 2.0)
    task = Task(0, "search", 20, 0, _get_time=lambda: next(clock))  # type: ignore[arg-type]
    assert Rate().render(task).plain == ""
    task.start_time = 0.0
    task._progress.extend(ProgressSample(at, steps) for at, steps in ((2.0, 1), (4.0, 8)))
    assert Rate().render(task).plain == "4.0/s"


@pytest.mark.parametrize(("seconds", "said"), [(40, "40 s"), (400, "7 min"), (12_600, "3.5 h")])
def test_long_times_are_said_shortly(seconds: float, said: str) -> None:
    assert minutes(seconds) == said
