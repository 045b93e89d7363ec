"""Which tables a database has, and how it gets those of this version.

The version stands in a table of our own, so that Optuna's or MLflow's `alembic_version` in the same database is left
alone. Alembic is imported only to upgrade.
"""

from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from sqlalchemy import Connection, Engine, column, func, inspect, select, table, text

from db.backup import copy_beside
from db.engine import shown, told
from db.errors import NewerSchema, NotFound, StoreError
from db.sqlite import file

VERSION_TABLE = "glora_search_version"
REVISIONS = ("0001", "0002", "0003")  # oldest first; a test holds this equal to the files in migrations/versions
ADVISORY_LOCK = 0x610AA  # any number that no other program locks
_UPGRADING = Lock()  # Alembic keeps what it is doing in the globals of a module

ORPHANS = {
    "candidates without a campaign": (
        "SELECT count(*) FROM candidates WHERE campaign_id NOT IN (SELECT id FROM campaigns)"
    ),
    "completed candidates without an evaluation": (
        "SELECT count(*) FROM candidates WHERE status = 'completed' AND NOT EXISTS "
        "(SELECT 1 FROM evaluations WHERE evaluations.digest = candidates.evaluation_digest)"
    ),
}


@dataclass(frozen=True)
class Check:
    current: str | None  # revision of the database; None without our tables
    head: str  # revision of this version of the program
    integrity: tuple[str, ...]  # what SQLite's integrity check found wrong; empty when sound, and on other databases
    orphans: tuple[str, ...]  # rows that refer to nothing, as "3 candidates without a campaign"

    @property
    def ok(self) -> bool:
        return self.current == self.head and not self.integrity and not self.orphans


def head() -> str:
    """The newest revision this version of the program knows."""
    return REVISIONS[-1]


def current(engine: Engine) -> str | None:
    """The revision of a database; None when it holds no tables of ours. Raises `StoreError`."""
    with told(engine), engine.connect() as connection:
        return _revision(connection)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.scalar(select(column("version_num")).select_from(table(VERSION_TABLE)))


def upgrade(engine: Engine) -> Path | None:
    """Bring a database to `head()`, in one transaction; twice is as good as once, also from two processes.

    A SQLite file of an older schema is copied first, as nobody else can write to it: to `NAME.before-REVISION.bak`
    beside it, which is returned; None if nothing was copied. Raises `NewerSchema` where the database is ahead of this
    version, `StoreError` if the copy fails, and then nothing is changed.
    """
    from alembic import command
    from alembic.config import Config

    _refuse_newer(engine, current(engine))
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    with told(engine), _UPGRADING, engine.execution_options(writes=True).begin() as connection:
        if engine.dialect.name == "postgresql":  # where others may write while a transaction is open
            connection.execute(select(func.pg_advisory_xact_lock(ADVISORY_LOCK)))
        copied = _copied(engine, connection)
        config.attributes |= {"connection": connection, "version_table": VERSION_TABLE}
        command.upgrade(config, "head")
    return copied


def _copied(engine: Engine, connection: Connection) -> Path | None:
    """The copy of a SQLite file that is about to be changed; `connection` keeps writers out meanwhile."""
    older = _revision(connection) not in (None, head())
    return copy_beside(engine, head()) if older and engine.dialect.name == "sqlite" and file(engine.url) else None


def require(engine: Engine, create: bool) -> None:
    """Make sure the tables are those of this version; with `create`, make them where there are none.

    Raises `NotFound` without tables, `StoreError` for older ones, `NewerSchema` for newer ones.
    """
    revision, where = current(engine), shown(engine.url)
    _refuse_newer(engine, revision)
    if revision is None and create:
        upgrade(engine)
    elif revision is None:
        raise NotFound(f"the database {where} holds no campaigns; launch one first or pass another --db")
    elif revision != head():
        kept = ", which keeps a copy" if engine.dialect.name == "sqlite" else " after a pg_dump"
        advice = f"run `glora-search db upgrade`{kept}"
        raise StoreError(f"the database {where} has schema {revision}, expected {head()}; {advice}")


def _refuse_newer(engine: Engine, revision: str | None) -> None:
    if revision is not None and revision not in REVISIONS:
        what = f"the database {shown(engine.url)} has schema {revision}, but this version knows only up to {head()}"
        raise NewerSchema(f"{what}; install the glora-search that wrote it, or pass another --db")


def check(engine: Engine) -> Check:
    """Look a database over; changes nothing. Raises `StoreError` where it cannot be read at all."""
    revision = current(engine)
    with told(engine), engine.connect() as connection:
        sqlite = engine.dialect.name == "sqlite"
        integrity = [str(line) for line in connection.scalars(text("PRAGMA integrity_check"))] if sqlite else []
        counts = {what: connection.scalar(text(query)) for what, query in ORPHANS.items()} if revision == head() else {}
    orphans = tuple(f"{count} {what}" for what, count in counts.items() if count)
    return Check(revision, head(), tuple(line for line in integrity if line != "ok"), orphans)
