"""What is SQLite's alone: the checks before a file is opened, how a connection is set up and a transaction begins.

Measured with 8 writers: WAL with the driver's deferred BEGIN failed 722 of 800 read-then-write transactions; WAL with
BEGIN IMMEDIATE, synchronous=NORMAL and a timeout of 30 s failed none. At NORMAL a killed process loses nothing that was
committed, a power loss may lose the last commits; a transaction asked to be durable runs at FULL.
"""

import os
import time
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, event

from db.errors import NotFound, StoreError
from db.mounts import mount_table, refuse_network

BUSY_TIMEOUT = 30.0  # seconds a writer waits for another
HEADER = b"SQLite format 3\x00"  # of every database that holds anything


def check(url: URL, create: bool) -> None:
    """Refuse, before anything is opened or created, a path that cannot be a database or must not be one.

    Raises `NotFound` for a missing file when it may not be created, `StoreError` for anything else wrong with it.
    """
    path = file(url)
    if path is None:
        return
    folder = path.absolute().parent
    refuse_network(path, mount_table())
    if path.is_dir():
        raise StoreError(f"{path} is a folder, expected a database file; pass a file in it: --db {path / 'glora.db'}")
    if not folder.is_dir():
        wrong = "is not a folder" if folder.exists() else "does not exist"
        raise StoreError(f"cannot open the database {path}: {folder} {wrong}; create that folder or pass another --db")
    if not path.exists():
        if not create:
            raise NotFound(f"no database at {path}; launch a campaign first or pass --db")
        if not os.access(folder, os.W_OK):
            raise StoreError(f"cannot create the database {path}: {folder} is read-only; pass a --db elsewhere")
    elif not path.is_file() or not os.access(path, os.R_OK):
        raise StoreError(f"cannot read the database {path}; give yourself permission to it or pass another --db")
    elif (start := _start(path)) and start != HEADER:
        raise StoreError(f"{path} is not a SQLite database: it starts with {start!r}; pass another --db")


def file(url: URL) -> Path | None:
    """The file behind a SQLite address; None for one in memory and for `file:` addresses, which SQLite reads itself."""
    name = url.database
    return None if not name or name == ":memory:" or name.startswith("file:") else Path(name)


def _start(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(len(HEADER))


def listen(engine: Engine, create: bool) -> None:
    """Set up each connection of `engine`; only where the file may be created may its journal be changed to WAL."""
    path = file(engine.url)

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # the driver leaves BEGIN to `begin` below
        connection.execute("PRAGMA foreign_keys = ON")
        if create:
            _write_ahead(connection)
        record.info["file"] = _identity(path)

    @event.listens_for(engine, "checkout")
    def same_file(connection: Any, record: Any, proxy: Any) -> None:
        if record.info["file"] != _identity(path):
            raise StoreError(f"the database {path} was removed or replaced while in use; put it back, then resume")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        connection.exec_driver_sql(f"PRAGMA synchronous = {'FULL' if options.get('durable') else 'NORMAL'}")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("writes") else "BEGIN")


def _write_ahead(connection: Any) -> None:
    """Turn WAL on. Two processes that open a new file at once meet a lock that SQLite's timeout does not wait for."""
    deadline = time.monotonic() + BUSY_TIMEOUT
    while connection.execute("PRAGMA journal_mode").fetchone()[0] == "delete":
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except connection.OperationalError as error:
            if error.sqlite_errorname != "SQLITE_BUSY" or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _identity(path: Path | None) -> tuple[int, int] | None:
    """Which file on disk a path leads to now; None when there is none."""
    try:
        stat = path.stat() if path else None
    except OSError:
        return None
    return stat and (stat.st_dev, stat.st_ino)
