"""Writers are served in the order in which they came; who dies or sleeps in the queue holds nobody up for ever."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from db import turns
from db.turns import turn

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="queues need Linux's locks of open files")


def in_queue(path: Path) -> int:
    """Tickets drawn so far."""
    file = Path(f"{path}-queue")
    return int.from_bytes(file.read_bytes()[:8], sys.byteorder) if file.exists() else 0


def until(path: Path, drawn: int) -> None:
    while in_queue(path) < drawn:
        time.sleep(0.001)


def test_first_come_first_served(tmp_path: Path) -> None:
    path, served = tmp_path / "glora.db", list[int]()

    def queue(number: int) -> None:
        with turn(path):
            served.append(number)

    threads = [threading.Thread(target=queue, args=(number,)) for number in range(12)]
    with turn(path):
        for number, thread in enumerate(threads):
            thread.start()
            until(path, number + 2)
        assert served == []
    for thread in threads:
        thread.join()
    assert served == list(range(12))


def test_a_process_that_is_killed_in_its_turn_ends_it(tmp_path: Path) -> None:
    path = tmp_path / "glora.db"
    child = os.fork()
    if child == 0:
        with turn(path):
            time.sleep(60)
    until(path, 1)
    os.kill(child, signal.SIGKILL)
    with turn(path):
        os.waitpid(child, 0)


def test_one_that_is_stopped_is_passed_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "PATIENCE", 0.1)
    path = tmp_path / "glora.db"
    with turn(path), turn(path):
        assert in_queue(path) == 2


def test_without_a_file_for_the_queue_there_are_no_turns(tmp_path: Path) -> None:
    with turn(tmp_path / "nowhere" / "glora.db"), turn(None):
        pass
    assert list(tmp_path.iterdir()) == []


def test_an_error_in_a_turn_ends_it(tmp_path: Path) -> None:
    path = tmp_path / "glora.db"
    with pytest.raises(ValueError, match="mine"), turn(path):
        raise ValueError("mine")
    with turn(path):
        pass
    assert in_queue(path) == 2


def test_who_waits_is_woken_and_where_nobody_waits_nobody_rings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "UNWOKEN", 600.0)  # nobody looks for themselves
    monkeypatch.setattr(turns, "PATIENCE", 600.0)
    rung, wake = list[int](), turns._wake
    monkeypatch.setattr(turns, "_wake", lambda name, ticket: (rung.append(ticket), wake(name, ticket)))
    path, served = tmp_path / "glora.db", list[int]()

    def queue() -> None:
        with turn(path):
            served.append(1)

    with turn(path):
        pass
    assert rung == []
    waiter = threading.Thread(target=queue, daemon=True)
    with turn(path):
        waiter.start()
        until(path, 3)
    waiter.join(timeout=60)
    assert (rung, served) == ([2], [1])
