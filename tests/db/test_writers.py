"""Several writers at once: everyone waits, nobody fails, nothing is lost. More of them: test_fire.py."""

import sqlite3
import threading
from pathlib import Path

import pytest

from db.engine import writing
from db.store import Store


def test_threads_may_share_a_store(searched: Store, proposals, completed, key) -> None:
    searched.propose("digits", 0, proposals([f"g{i}" for i in range(40)]))
    threads = [
        threading.Thread(
            target=lambda first=first: [searched.record("digits", i, key, completed()) for i in range(first, 40, 4)]
        )
        for first in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert searched.progress("digits").completed == 40


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_writer_waits_for_another(searched: Store) -> None:
    second = threading.Thread(target=searched.set_state, args=("digits", "paused"))
    with writing(searched._engine) as first:
        first.connection()
        second.start()
        second.join(0.2)
        assert second.is_alive()
    second.join(10)
    assert searched.campaign("digits").state == "paused"


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_without_an_immediate_begin_the_same_would_fail(searched: Store, tmp_path: Path) -> None:
    raw = sqlite3.connect(tmp_path / "glora.db", isolation_level=None)
    raw.execute("BEGIN")
    raw.execute("SELECT count(*) FROM campaigns").fetchall()
    searched.set_state("digits", "paused")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        raw.execute("UPDATE campaigns SET state = 'searching'")
    raw.close()


def test_readers_do_not_wait_for_a_writer(searched: Store) -> None:
    with writing(searched._engine) as first:
        first.connection()
        assert searched.campaign("digits").state == "created"
