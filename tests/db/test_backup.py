"""A backup is a database of one moment, made while others write, and replaces nothing."""

import sqlite3
import threading
from pathlib import Path

import pytest
from sqlalchemy.pool import QueuePool

from db import backup as backups
from db import schema
from db.backup import backup
from db.engine import connect
from db.errors import NotFound, StoreError
from db.records import Proposal
from db.store import Store, open_store

sqlite_only = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@sqlite_only
def test_a_backup_holds_what_was_committed_in_one_file(
    searched: Store, database: str, proposals, completed, key, tmp_path: Path
) -> None:
    searched.propose("digits", 0, proposals(["aaa", "aba"]))
    searched.record("digits", 1, key, completed(0.75))
    assert backup(database, tmp_path / "copy.db") == tmp_path / "copy.db"
    searched.set_state("digits", "paused")
    assert sorted(path.name for path in tmp_path.glob("copy.db*")) == ["copy.db"]
    with open_store(str(tmp_path / "copy.db"), create=False) as copy:
        assert copy.candidates("digits") == searched.candidates("digits")
        assert copy.campaign("digits").state == "created"
        assert schema.check(copy._engine).ok


@sqlite_only
def test_a_backup_under_a_writer_is_of_one_moment(searched: Store, database: str, tmp_path: Path) -> None:
    stop = threading.Event()

    def write() -> None:
        for number in range(0, 10**6, 2):
            if stop.is_set():
                return
            pair = [Proposal(i, f"{i:06}" + "d" * 2000, "random", (), i) for i in (number, number + 1)]
            searched.propose("digits", number, pair)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        copies = [backup(database, tmp_path / f"copy{i}.db") for i in range(5)]
    finally:
        stop.set()
        writer.join()
    counts = []
    for path in copies:
        with open_store(str(path), create=False) as copy:
            assert schema.check(copy._engine).ok
            counts.append(copy.progress("digits").proposed)
    assert counts == sorted(counts)
    assert all(count % 2 == 0 for count in counts)  # no half generation


@sqlite_only
def test_copying_the_file_alone_would_lose_what_stands_in_the_log(
    searched: Store, database: str, tmp_path: Path
) -> None:
    (tmp_path / "naive.db").write_bytes(Path(database).read_bytes())
    with (
        open_store(str(tmp_path / "naive.db"), create=False) as copy,
        pytest.raises(NotFound, match="there are none yet"),
    ):
        copy.campaign("digits")


@sqlite_only
def test_a_file_that_is_there_is_never_replaced(searched: Store, database: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for taken in (tmp_path / "notes.txt", tmp_path, Path(database)):
        with pytest.raises(StoreError, match="is there already, and a backup replaces nothing; name another file"):
            backup(database, taken)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    with pytest.raises(StoreError, match=r"cannot write the backup .* name a file in a folder you can write"):
        backup(database, tmp_path / "missing" / "copy.db")


@sqlite_only
def test_a_backup_that_fails_leaves_no_file(
    searched: Store, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = sqlite3.connect

    def small(path: Path) -> sqlite3.Connection:
        connection = real(path)
        connection.execute("PRAGMA max_page_count = 1")
        return connection

    monkeypatch.setattr(backups.sqlite3, "connect", small)
    with pytest.raises(StoreError, match=r"the copy of .* failed: .*; check both disks"):
        backups.copy(searched._engine, tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()


def test_there_must_be_something_to_back_up(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        backup(str(tmp_path / "none.db"), tmp_path / "copy.db")
    with pytest.raises(StoreError, match="in memory has no file"):
        backup("sqlite://", tmp_path / "copy.db")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["postgresql://me:s3cret@127.0.0.1:1/glora"])
def test_postgresql_is_backed_up_by_its_own_tool(url: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="pg_dump") as caught:
        backup(url, tmp_path / "copy.db")
    assert "s3cret" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_opened_by_a_pool_that_can_give_a_second_connection(tmp_path: Path) -> None:
    assert isinstance(connect(str(tmp_path / "a.db")).pool, QueuePool)  # the upgrade copies beside its own transaction
