"""A driver that was killed on this machine is known to be dead; of any other that is not claimed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest

from db.errors import Held
from glora_search.driving import STALE_AFTER, driving
from glora_search.processes import is_dead, this_process


def holder(pid: int) -> str:
    """What that process would say of itself."""
    return re.sub(r"process \d+", f"process {pid}", this_process())


@pytest.fixture
def gone() -> int:
    """The number of a process that has ended, and whose parent has heard of it."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    return process.pid


def test_this_process_lives() -> None:
    assert str(os.getpid()) in this_process()
    assert not is_dead(this_process())
    assert not is_dead(holder(1)), "another user's, for most"


def test_a_process_that_ended_is_dead_also_before_its_parent_knows(gone: int) -> None:
    assert is_dead(holder(gone))
    with subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read()  # ends with the process, nearly
        while not is_dead(holder(process.pid)):
            pass


def test_of_other_machines_and_containers_nothing_is_known(gone: int) -> None:
    assert not is_dead(re.sub(r"boot \w+", "boot 00000000", holder(gone)))
    assert not is_dead(f"vm, process {gone}")
    assert not is_dead("its deletion")


def test_a_killed_driver_on_this_machine_is_succeeded_at_once(finished: Any, gone: int) -> None:
    noon = datetime(2024, 5, 1, 12, tzinfo=UTC)
    with finished.store() as store:
        store.acquire("tiny", holder(os.getppid()), noon, STALE_AFTER)
        with pytest.raises(Held), driving(store, "tiny", lambda: noon):
            pass
        store.acquire("tiny", holder(gone), noon + 2 * STALE_AFTER, STALE_AFTER)
        with driving(store, "tiny", lambda: noon + 2 * STALE_AFTER) as fenced:
            fenced.clear_request("tiny")
