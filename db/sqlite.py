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
TURN = 20  # milliseconds after which a writer's wait begins again with short looks


def check(url: URL, create: bool) -> None:
    """Refuse, before anything is opened or created, a path that cannot be a database or must not be one.

    Law: nobody but SQLite opens the file. Whoever closes a file gives up every lock that its process has on it: then
    another process, taking itself for the last one, would remove the log that a store of this one still writes to.

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


def file(url: URL) -> Path | None:
    """The file behind a SQLite address; None for one in memory and for `file:` addresses, which SQLite reads itself."""
    name = url.database
    return None if not name or name == ":memory:" or name.startswith("file:") else Path(name)


def absolute(url: URL) -> Path | None:
    """The same file wherever this process stands later on: Ray's start leaves the working directory for a while."""
    path = file(url)
    return None if path is None else path.absolute()


def listen(engine: Engine, create: bool) -> None:
    """Set up each connection of `engine`; only where the file may be created may its journal be changed to WAL."""
    path = file(engine.url)
    first: list[tuple[int, int] | None] = []  # the file that was opened first

    @event.listens_for(engine, "do_connect")
    def never_anew(dialect: Any, record: Any, arguments: Any, options: Any) -> None:
        if first and first[0] != _identity(path):  # SQLite would make an empty one in its place
            raise _removed(path)

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # the driver leaves BEGIN to `begin` below
        connection.execute("PRAGMA foreign_keys = ON")
        if create:
            _write_ahead(connection)
        record.info["file"] = _identity(path)
        first[:] = first or [record.info["file"]]

    @event.listens_for(engine, "checkout")
    def same_file(connection: Any, record: Any, proxy: Any) -> None:
        if record.info["file"] != _identity(path):
            raise _removed(path)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        synchronous = "FULL" if options.get("durable") else "NORMAL"
        if connection.info.get("synchronous") != synchronous:
            connection.exec_driver_sql(f"PRAGMA synchronous = {synchronous}")
            connection.info["synchronous"] = synchronous
        if options.get("writes"):
            _begin_in_turn(connection)
        else:
            connection.exec_driver_sql("BEGIN")


def _removed(path: Path | None) -> StoreError:
    return StoreError(f"the database {path} was removed or replaced while in use; put it back, then resume")


def _begin_in_turn(connection: Connection) -> None:
    """Begin to write as soon as nobody else does, within `BUSY_TIMEOUT`.

    SQLite looks again after 1, 2, 5, 10 ms, but then ever more rarely: of many writers those who came last win, and the
    others starve. Asked anew every few looks, it gives each its turn: with 32 writers the slowest of 100 transactions
    waited 0.3 s instead of 1.4.
    """
    driver: Any = connection.connection.driver_connection
    deadline = time.monotonic() + BUSY_TIMEOUT
    driver.execute(f"PRAGMA busy_timeout = {TURN}")
    try:
        while time.monotonic() < deadline:
            try:
                driver.execute("BEGIN IMMEDIATE")
                return
            except driver.OperationalError as error:
                if not error.sqlite_errorname.startswith("SQLITE_BUSY"):
                    break
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # refused once more, with an error that SQLAlchemy knows
    finally:
        driver.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT * 1000:.0f}")


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
