"""Several writers at once: everyone waits, nobody fails, nothing is lost."""

import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import db
from db.engine import writing
from db.store import Store, open_store

ROOT = Path(db.__file__).parent.parent
WRITER = """
import sys
from db.records import EvaluationKey, Outcome, Proposal, Status
from db.store import open_store

path, name = sys.argv[1:]
key = EvaluationKey("fingerprint", "split", "bf16")
with open_store(path) as store:
    store.create_campaign(name, {}, 0)
    for i in range(25):
        store.propose(name, i, [Proposal(i, f"genome {i}", "random", (), i)])
        store.record(name, i, key, Outcome(Status.COMPLETED, 0.5, 1.0, 0.1, name))
"""


def test_four_processes_of_fifty_transactions_all_succeed(tmp_path: Path) -> None:
    path = str(tmp_path / "glora.db")
    names = [f"campaign {i}" for i in range(4)]
    command = [sys.executable, "-c", WRITER, path]
    started = [subprocess.Popen([*command, name], cwd=ROOT, stderr=subprocess.PIPE) for name in names]
    assert [process.communicate(timeout=120)[1] for process in started] == [b""] * 4
    with open_store(path, create=False) as store:
        assert [store.progress(name).completed for name in names] == [25] * 4
        workers = [[candidate.worker for candidate in store.candidates(name)] for name in names]
    assert workers == [workers[0]] * 4  # each genome was remembered once, from whoever was first


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


def test_a_writer_waits_for_another(searched: Store) -> None:
    second = threading.Thread(target=searched.set_state, args=("digits", "paused"))
    with writing(searched._engine) as first:
        first.connection()
        second.start()
        second.join(0.2)
        assert second.is_alive()
    second.join(10)
    assert searched.campaign("digits").state == "paused"


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
