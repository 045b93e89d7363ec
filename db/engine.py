"""From an address to an engine, and from an engine to one transaction.

    foo.db                      a SQLite file, as sqlite:///foo.db
    postgresql://USER@HOST/NAME PostgreSQL through psycopg 3

A password in an address is never shown: messages go through `shown`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError
from sqlalchemy.orm import Session

from db import sqlite
from db.errors import StoreError
from db.failures import sentence, suffered
from db.turns import turn

EXPECTED = "expected a file path, sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME"


def connect(url: str, create: bool = True) -> Engine:
    """An engine for an address; opens no connection yet.

    Without `create` a missing SQLite file stays missing and an existing one keeps its journal. Raises `StoreError`
    for an address that cannot be read or a path that cannot be a database, `NotFound` for a missing file without
    `create`.
    """
    address = _address(url)
    try:
        if address.get_backend_name() != "sqlite":
            return create_engine(address, pool_pre_ping=True)
        sqlite.check(address, create)
        engine = create_engine(address, connect_args={"timeout": sqlite.BUSY_TIMEOUT})
        engine.update_execution_options(queued_at=sqlite.absolute(address))
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise StoreError(f"no driver for the database {shown(address)}: {error}; {EXPECTED}") from error
    sqlite.listen(engine, create)
    return engine


def _address(url: str) -> URL:
    if "://" not in url:
        try:
            return URL.create("sqlite", database=url if url == ":memory:" else str(Path(url).expanduser()))
        except RuntimeError as error:  # a home of nobody
            raise StoreError(f"the database {url} cannot be found: {error}") from None
    try:
        address = make_url(url)
    except (ArgumentError, ValueError):  # their text may show the password, and so would the chain
        raise StoreError(f"the database address cannot be read; {EXPECTED}") from None
    plain = address.drivername in ("postgresql", "postgres")
    return address.set(drivername="postgresql+psycopg") if plain else address


def shown(url: URL) -> str:
    """An address as a person may see it: a SQLite file's path, or the URL with its password hidden."""
    if url.get_backend_name() == "sqlite" and (path := sqlite.file(url)):
        return str(path)
    return url.render_as_string(hide_password=True)


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """One read transaction: everything in it sees the same moment (on SQLite). Raises `StoreError`."""
    with told(engine), Session(engine) as session:
        yield session


@contextmanager
def writing(engine: Engine, durable: bool = False) -> Iterator[Session]:
    """One write transaction, committed at the end or rolled back whole; a `durable` one outlives a power loss.

    Raises `StoreError`.
    """
    queued_at = engine.get_execution_options().get("queued_at")
    with told(engine), turn(queued_at), Session(engine) as session, session.begin():
        session.connection(execution_options={"writes": True, "durable": durable})
        yield session


@contextmanager
def told(engine: Engine) -> Iterator[None]:
    """Turn what a database can suffer (full, locked, unreachable) into a `StoreError`; our own mistakes pass."""
    try:
        yield
    except DatabaseError as error:
        if not suffered(error):
            raise
        raise StoreError(sentence(error, shown(engine.url), engine.url.password)) from error


def readable(url: str) -> str:
    """`shown` of an address as a person gave it."""
    return shown(_address(url))
