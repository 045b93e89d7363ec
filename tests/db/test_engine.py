"""An address either opens or says in one sentence why not; nothing is made on the way."""

import os
import sqlite3
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
from sqlalchemy import text

from db.engine import connect, reading, writing
from db.errors import NotFound, StoreError
from db.store import Store, open_store


@pytest.fixture
def database(tmp_path: Path) -> str:
    """SQLite's alone: files, journals and locks are the matter here."""
    return str(tmp_path / "glora.db")


def test_a_new_file_is_made_and_writes_ahead(tmp_path: Path) -> None:
    path = tmp_path / "a folder" / "100%.db"
    path.parent.mkdir()
    open_store(str(path)).close()
    with sqlite3.connect(path) as raw:
        assert raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    raw.close()


def test_a_path_and_its_url_are_the_same_database(tmp_path: Path) -> None:
    with open_store(str(tmp_path / "a.db")) as one, open_store(f"sqlite:///{tmp_path}/a.db", create=False) as other:
        one.create_campaign("digits", {}, 0)
        assert other.campaign("digits").name == "digits"


def test_a_store_in_memory_works() -> None:
    with open_store("sqlite://") as store:
        store.create_campaign("digits", {}, 0)
        assert [campaign.name for campaign in store.campaigns()] == ["digits"]


def test_looking_never_makes_a_database(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="launch a campaign first or pass --db"):
        open_store(str(tmp_path / "glora.db"), create=False)
    assert list(tmp_path.iterdir()) == []


def test_looking_at_a_database_without_our_tables_leaves_it_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as raw:
        raw.execute("CREATE TABLE theirs (x)")
    raw.close()
    before = path.read_bytes()
    with pytest.raises(NotFound, match="holds no campaigns"):
        open_store(str(path), create=False)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("create", [True, False])
@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("missing/glora.db", "missing does not exist"),
        ("file/glora.db", "file is not a folder"),
        ("folder", "folder is a folder"),
        ("file", "is not a SQLite database"),
    ],
)
def test_a_path_that_cannot_be_a_database_is_refused_in_a_sentence(
    tmp_path: Path, place: str, says: str, create: bool
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("name: digits\n")
    with pytest.raises(StoreError, match=says) as caught:
        open_store(str(tmp_path / place), create)
    assert str(tmp_path / place) in str(caught.value)
    assert "--db" in str(caught.value)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder"]


def test_a_folder_that_takes_no_file_is_refused_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)  # permission bits do not hold root
    with pytest.raises(StoreError, match="is read-only; pass a --db elsewhere"):
        open_store(str(tmp_path / "glora.db"))
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "glora.db").write_bytes(b"SQLite format 3\x00" + b"\xff" * 4096)
    with pytest.raises(StoreError, match=r"is not a SQLite database|is damaged"):
        open_store(str(tmp_path / "glora.db"))


def test_writing_to_a_read_only_database_says_so(searched: Store, tmp_path: Path) -> None:
    with open_store(f"sqlite:///file:{tmp_path}/glora.db?mode=ro&uri=true", create=False) as readers:
        assert readers.campaign("digits").name == "digits"
        with pytest.raises(StoreError, match="is read-only; allow writing"):
            readers.set_state("digits", "paused")


def test_a_full_disk_says_so_and_loses_nothing(searched: Store) -> None:
    with searched._engine.connect() as connection:  # the pool hands this one connection out again
        pages = connection.scalar(text("PRAGMA page_count"))
        connection.execute(text(f"PRAGMA max_page_count = {pages}"))
    with pytest.raises(StoreError, match=r"disk that holds the database .* is full"):
        searched.set_report("digits", {"long": "x" * 100_000})
    assert searched.campaign("digits").report is None


def test_a_database_removed_while_in_use_is_noticed(searched: Store, tmp_path: Path) -> None:
    (tmp_path / "glora.db").rename(tmp_path / "elsewhere.db")
    with pytest.raises(StoreError, match="was removed or replaced while in use"):
        searched.set_state("digits", "paused")
    (tmp_path / "elsewhere.db").rename(tmp_path / "glora.db")
    searched.set_state("digits", "paused")


def test_a_store_opened_twice_in_a_process_keeps_its_log_from_others(searched: Store, database: str) -> None:
    assert _campaigns_seen_by_another_process(database) == 1
    open_store(database, create=False).close()
    assert _campaigns_seen_by_another_process(database) == 1
    searched.create_campaign("later", {}, 0)
    assert _campaigns_seen_by_another_process(database) == 2


def test_a_look_into_the_file_would_give_up_its_log(searched: Store, database: str) -> None:
    Path(database).read_bytes()  # closing it gives up the locks of the process
    assert _campaigns_seen_by_another_process(database) == 1
    searched.create_campaign("later", {}, 0)
    assert _campaigns_seen_by_another_process(database) == 1


def _campaigns_seen_by_another_process(database: str) -> int:
    """By one that comes and goes, as `status` does."""
    code = (
        "import sqlite3, sys; print(*sqlite3.connect(sys.argv[1]).execute('SELECT count(*) FROM campaigns').fetchone())"
    )
    command = [sys.executable, "-c", code, database]
    return int(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)


def test_a_database_locked_for_too_long_says_so(
    searched: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.sqlite.BUSY_TIMEOUT", 0.05)
    with open_store(str(tmp_path / "glora.db")) as other, writing(searched._engine) as first:
        first.connection()
        with pytest.raises(StoreError, match=r"has held the database .* for too long"):
            other.set_state("digits", "paused")


def test_a_write_is_whole_or_nothing(searched: Store) -> None:
    def broken() -> None:
        with writing(searched._engine) as session:
            session.execute(text("UPDATE campaigns SET state = 'failed'"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        broken()
    assert searched.campaign("digits").state == "created"


def test_a_durable_write_waits_for_the_disk_and_others_do_not(searched: Store) -> None:
    def synchronous(durable: bool) -> int:
        with writing(searched._engine, durable) as session:
            return session.scalar(text("PRAGMA synchronous"))

    assert (synchronous(True), synchronous(False)) == (2, 1)


def test_foreign_keys_hold(searched: Store) -> None:
    with reading(searched._engine) as session:
        assert session.scalar(text("PRAGMA foreign_keys")) == 1


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:s3cret@127.0.0.1:1/glora",
        "postgresql://me:s3cret@host:notaport/glora",
        "nosuchdatabase://me:s3cret@host/glora",
        "postgresql+nosuchdriver://me:s3cret@host/glora",
        "://me:s3cret@host",
    ],
)
def test_a_password_is_never_shown(url: str) -> None:
    with pytest.raises(StoreError) as caught:
        open_store(url)
    everything = "".join(traceback.format_exception(caught.value, chain=True))
    shown = everything.replace(repr(url), "").replace(url, "") if "def test" in everything else everything
    assert "s3cret" not in str(caught.value)
    assert "s3cret" not in shown


def test_postgresql_goes_through_psycopg_three() -> None:
    for url in ("postgresql://me@host/glora", "postgres://me@host/glora"):
        assert connect(url).url.drivername == "postgresql+psycopg"
