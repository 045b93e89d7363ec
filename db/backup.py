"""A copy of a SQLite database while others write to it, by SQLite's online backup: the copy is of one moment.

The file copied to is made new and never replaced, and removed again if the copy fails. PostgreSQL has its own tool.
"""

import sqlite3
from contextlib import closing
from itertools import count
from pathlib import Path

from sqlalchemy import Engine

from db.engine import connect, shown, told
from db.errors import StoreError
from db.sqlite import file


def backup(url: str, to: Path) -> Path:
    """Copy the SQLite database at `url` to the new file `to`, which is returned.

    Raises `NotFound` for a missing database, `StoreError` for one that is not SQLite's, for a file that is there
    already and for a copy that fails.
    """
    engine = connect(url, create=False)
    try:
        return copy(engine, to)
    finally:
        engine.dispose()


def copy(engine: Engine, to: Path) -> Path:
    """The same of an engine."""
    _refuse_others(engine)
    try:
        to.open("xb").close()
    except FileExistsError:
        raise StoreError(f"{to} is there already, and a backup replaces nothing; name another file") from None
    except OSError as error:
        raise StoreError(
            f"cannot write the backup {to}: {error.strerror}; name a file in a folder you can write"
        ) from None
    try:
        with told(engine):
            _copy_pages(engine, to)
    except BaseException:
        to.unlink(missing_ok=True)
        raise
    return to


def copy_beside(engine: Engine, revision: str) -> Path:
    """Copy a database to `NAME.before-REVISION.bak` beside its file, numbered if there is one already."""
    source = file(engine.url)
    assert source is not None, "only a database in a file has something beside it"
    names = (f"{source.name}.before-{revision}{f'.{n}' if n > 1 else ''}.bak" for n in count(1))
    return copy(engine, next(path for path in map(source.with_name, names) if not path.exists()))


def _refuse_others(engine: Engine) -> None:
    if engine.dialect.name != "sqlite":
        advice = "back it up with PostgreSQL's own pg_dump, and give pg_restore what it wrote"
        raise StoreError(f"only a SQLite file can be copied, and {shown(engine.url)} is none; {advice}")
    if engine.url.database in (None, "", ":memory:"):
        raise StoreError("a database in memory has no file to copy; pass --db with the path of one")


def _copy_pages(engine: Engine, to: Path) -> None:
    """All pages in one step, so that a writer meanwhile neither changes the copy nor makes it start over."""
    with closing(sqlite3.connect(to)) as target, engine.connect() as connection:
        source = connection.connection.driver_connection
        assert isinstance(source, sqlite3.Connection)
        try:
            source.backup(target, pages=-1)
        except sqlite3.Error as error:
            raise StoreError(f"the copy of {shown(engine.url)} to {to} failed: {error}; check both disks") from error
