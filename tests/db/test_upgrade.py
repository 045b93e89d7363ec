"""A database of an older schema is brought to this one with every row as it was.

assets/schema-REVISION.db was written by the version of that revision.
"""

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, create_engine, insert, inspect, select, text

from db import schema
from db.engine import connect
from db.errors import StoreError
from db.models import Base
from db.records import EvaluationKey, Status
from db.store import open_store

ASSETS = Path(__file__).parent / "assets"
FIRST = ("supernets", "campaigns", "evaluations", "candidates")  # in the order of their references
BEFORE = {"0001": FIRST, "0002": (*FIRST, "leases", "requests")}  # the tables of each older revision

Rows = dict[str, list[tuple[Any, ...]]]


def asset(revision: str) -> Path:
    return ASSETS / f"schema-{revision}.db"


def rows(engine: Engine, revision: str) -> Rows:
    """Every value that the asset of that revision holds, in its columns."""
    like = create_engine(f"sqlite:///{asset(revision)}")
    with engine.connect() as connection, like.connect() as kept:
        found = {}
        for name in BEFORE[revision]:
            table = Base.metadata.tables[name]
            columns = [table.c[column["name"]] for column in inspect(kept).get_columns(name)]
            found[name] = [tuple(row) for row in connection.execute(select(*columns).order_by(*table.primary_key))]
    like.dispose()
    return found


@pytest.fixture(params=list(BEFORE))
def revision(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def old(database: str, revision: str, request: pytest.FixtureRequest) -> str:
    """The address of a database of an older revision that holds its asset's rows."""
    if not database.startswith("postgresql"):
        shutil.copy(asset(revision), database)
        return database
    url = request.getfixturevalue("bare_postgres")
    like, engine = create_engine(f"sqlite:///{asset(revision)}"), connect(url)
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
        config.attributes |= {"connection": connection, "version_table": schema.VERSION_TABLE}
        command.upgrade(config, revision)
        for name, found in rows(like, revision).items():
            table, columns = Base.metadata.tables[name], [column["name"] for column in inspect(like).get_columns(name)]
            connection.execute(insert(table), [dict(zip(columns, row, strict=True)) for row in found])
    like.dispose()
    engine.dispose()
    return url


def test_there_is_an_asset_of_every_older_revision() -> None:
    assert tuple(BEFORE) == schema.REVISIONS[:-1]


def test_an_asset_is_of_its_revision_and_holds_something(revision: str) -> None:
    with sqlite3.connect(f"file:{asset(revision)}?mode=ro", uri=True) as raw:
        assert raw.execute(f"SELECT version_num FROM {schema.VERSION_TABLE}").fetchall() == [(revision,)]
        counts = {name: raw.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in BEFORE[revision]}
    raw.close()
    held = {"supernets": 1, "campaigns": 2, "evaluations": 3, "candidates": 5, "leases": 1, "requests": 1}
    assert counts == {name: held[name] for name in BEFORE[revision]}


def test_an_upgrade_keeps_every_row(old: str, revision: str) -> None:
    engine = connect(old)
    before = rows(engine, revision)
    schema.upgrade(engine)
    assert schema.current(engine) == schema.head()
    assert rows(engine, revision) == before
    assert schema.check(engine).ok
    engine.dispose()


def test_an_upgraded_campaign_goes_on(old: str, revision: str) -> None:
    engine = connect(old)
    schema.upgrade(engine)
    engine.dispose()
    key = EvaluationKey("fingerprint", "split", "bf16")
    with open_store(old, create=False) as store:
        assert [candidate.status for candidate in store.candidates("digits")] == [
            *(Status.COMPLETED, Status.COMPLETED, Status.FAILED, Status.RACED, Status.PROPOSED)
        ]
        assert store.candidate("digits", 2).error == "out of memory: größer"
        assert set(store.known("digits", key, ["aa", "bp", "dp", "da"])) == {"aa", "bp", "dp", "da"}
        store.request("digits", "stop")
        assert store.retry("digits") == 1


def test_an_older_database_is_not_opened_but_told_what_to_do(old: str, revision: str) -> None:
    for create in (True, False):
        with pytest.raises(
            StoreError, match=f"has schema {revision}, expected {schema.head()}; run `glora-search db upgrade`"
        ):
            open_store(old, create)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_an_upgrade_leaves_a_copy_of_what_was(old: str, revision: str, tmp_path: Path) -> None:
    engine = connect(old)
    before = rows(engine, revision)
    copied = schema.upgrade(engine)
    assert copied == tmp_path / f"glora.db.before-{schema.head()}.bak"
    assert schema.upgrade(engine) is None
    engine.dispose()
    kept = connect(str(copied), create=False)
    assert (schema.current(kept), rows(kept, revision)) == (revision, before)
    kept.dispose()


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_copy_that_is_there_is_left_alone(old: str, revision: str, tmp_path: Path) -> None:
    first = tmp_path / f"glora.db.before-{schema.head()}.bak"
    first.write_text("mine")
    engine = connect(old)
    assert schema.upgrade(engine) == tmp_path / f"glora.db.before-{schema.head()}.2.bak"
    engine.dispose()
    assert first.read_text() == "mine"


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_without_a_copy_nothing_is_upgraded(old: str, revision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(engine: Engine, to: Path) -> Path:
        raise StoreError("the disk is full")

    monkeypatch.setattr("db.backup.copy", full)
    engine = connect(old)
    with pytest.raises(StoreError, match="the disk is full"):
        schema.upgrade(engine)
    assert schema.current(engine) == revision
    engine.dispose()


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_postgresql_upgrades_without_a_copy(old: str, revision: str) -> None:
    engine = connect(old)
    assert schema.upgrade(engine) is None
    engine.dispose()


def test_a_new_database_is_not_copied(tmp_path: Path) -> None:
    engine = connect(str(tmp_path / "new.db"))
    assert schema.upgrade(engine) is None
    engine.dispose()


def test_processes_that_upgrade_at_once_upgrade_once(old: str, crowd) -> None:
    copied = [said["copied"] for said in crowd("upgrade", old, 4)]
    assert len(copied) == 4
    assert 4 - copied.count("None") == (0 if old.startswith("postgresql") else 1)
    engine = connect(old)
    assert schema.check(engine).ok
    engine.dispose()


@pytest.fixture
def share() -> Callable[[str], Engine]:
    def share(url: str) -> Engine:
        """Give a database the version tables of two other programs."""
        engine = connect(url)
        with engine.execution_options(writes=True).begin() as connection:
            connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
            connection.execute(text("INSERT INTO alembic_version VALUES ('v3.0.0.d')"))
            connection.execute(text("CREATE TABLE alembic_version_mlflow (version_num VARCHAR(32) NOT NULL)"))
        return engine

    return share


def test_an_old_database_shared_with_others_is_upgraded_and_theirs_left_alone(old: str, revision: str, share) -> None:
    engine = share(old)
    before = rows(engine, revision)
    schema.upgrade(engine)
    with engine.connect() as connection:
        assert connection.scalars(text("SELECT version_num FROM alembic_version")).all() == ["v3.0.0.d"]
    assert rows(engine, revision) == before
    assert schema.check(engine).ok
    engine.dispose()


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
def test_a_database_that_others_began_takes_ours(
    request: pytest.FixtureRequest, tmp_path: Path, share, backend: str
) -> None:
    url = str(tmp_path / "theirs.db") if backend == "sqlite" else request.getfixturevalue("bare_postgres")
    engine = share(url)
    with open_store(url) as store:
        store.create_campaign("digits", {}, 0)
        assert schema.check(store._engine).ok
    assert {"alembic_version", "alembic_version_mlflow"} <= set(inspect(engine).get_table_names())
    engine.dispose()
