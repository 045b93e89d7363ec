"""Writers under fire: killed, crowded, out of disk. Nothing acknowledged is lost, nobody fails who could wait."""

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import text

from db import schema
from db.errors import StoreError
from db.store import Store

KILLS = 12
sqlite_only = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def test_a_writer_killed_again_and_again_loses_nothing_it_acknowledged(searched: Store, database: str, crowd) -> None:
    (said,) = crowd("killed", database, KILLS, "after")
    found = searched.candidates("digits")
    assert said["acknowledged"] > KILLS
    assert [candidate.id for candidate in found] == list(range(len(found)))
    assert all(candidate.status == "completed" for candidate in found[: said["acknowledged"]])
    assert len(found) >= said["acknowledged"]
    assert schema.check(searched._engine).ok


def test_a_writer_that_acknowledges_too_soon_is_found_out(searched: Store, database: str, crowd) -> None:
    (said,) = crowd("killed", database, 1, "before")
    assert said["acknowledged"] == 1
    assert searched.campaign("digits").state == "created"


def test_readers_and_writers_do_not_fail_each_other(store: Store, database: str, crowd) -> None:
    writers, readers, each = 4, 2, 15
    for i in range(writers):
        store.create_campaign(f"c{i}", {}, 0)
    said = crowd("score", database, writers, readers, each)
    assert [one for one in said if "error" in one] == []
    assert sorted(one["wrote"] for one in said if "wrote" in one) == [2 * each] * writers
    reads = [one["read"] for one in said if "read" in one]
    assert len(reads) == readers
    assert min(reads) > 0
    assert [store.progress(f"c{i}").completed for i in range(writers)] == [each] * writers
    workers = [[candidate.worker for candidate in store.candidates(f"c{i}")] for i in range(writers)]
    assert workers == [workers[0]] * writers  # each genome was remembered once, from whoever was first


@sqlite_only
def test_without_writing_ahead_a_reader_would_fail(searched: Store, database: str) -> None:
    searched.close()
    writer = sqlite3.connect(database, isolation_level=None)
    writer.execute("PRAGMA journal_mode = DELETE")
    reader = sqlite3.connect(database, isolation_level=None, timeout=0.05)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM campaigns").fetchall()
    writer.execute("PRAGMA busy_timeout = 50")
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("UPDATE campaigns SET state = 'paused'")
    with pytest.raises(sqlite3.OperationalError, match="locked"):  # the reader holds the writer up, and then ..
        writer.execute("COMMIT")
    second = sqlite3.connect(database, timeout=0.05)
    with pytest.raises(sqlite3.OperationalError, match="locked"):  # .. the writer that waits keeps new readers out
        second.execute("SELECT count(*) FROM campaigns").fetchall()
    for connection in (reader, writer, second):
        connection.close()


@sqlite_only
def test_a_disk_that_fills_up_stops_a_generation_as_a_whole(searched: Store, proposals) -> None:
    first, second = proposals(["aaa", "aba"]), proposals([f"{i:04}" + "d" * 3000 for i in range(200)], first=2)
    searched.propose("digits", 0, first)
    with searched._engine.connect() as connection:  # the pool hands this one connection out again
        pages = connection.scalar(text("PRAGMA page_count"))
        connection.execute(text(f"PRAGMA max_page_count = {pages + 20}"))
    with pytest.raises(StoreError, match=r"disk that holds the database .* is full; free some space, then resume"):
        searched.propose("digits", 1, second)
    assert len(searched.candidates("digits")) == 2
    assert schema.check(searched._engine).ok
    with searched._engine.connect() as connection:
        connection.execute(text("PRAGMA max_page_count = 1000000"))
    searched.propose("digits", 1, second)
    assert len(searched.candidates("digits")) == 202


@sqlite_only
def test_a_connection_that_is_opened_later_does_not_make_it_anew_either(searched: Store, database: str) -> None:
    with searched._engine.connect():  # so that another one must be opened
        Path(database).unlink()
        with pytest.raises(StoreError, match="was removed or replaced while in use"):
            searched.campaigns()
    assert not Path(database).exists()


@sqlite_only
@pytest.mark.parametrize("verb", ["read", "write"])
def test_a_database_deleted_while_in_use_is_never_made_anew(searched: Store, database: str, verb: str) -> None:
    Path(database).unlink()
    with pytest.raises(StoreError, match="was removed or replaced while in use"):
        searched.set_state("digits", "paused") if verb == "write" else searched.campaigns()
    assert not Path(database).exists()
