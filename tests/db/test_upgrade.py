"""A database of an older schema is brought to this one with every row as it was.

assets/schema-0001.db was written by the version of revision 0001.
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

ASSET = Path(__file__).parent / "assets" / "schema-0001.db"
BEFORE = ("supernets", "campaigns", "evaluations", "candidates")  # in the order of their references

Rows = dict[str, list[tuple[Any, ...]]]


def rows(engine: Engine) -> Rows:
    with engine.connect() as connection:
        tables = {name: Base.metadata.tables[name] for name in BEFORE}
        return {
            name: [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key))]
            for name, table in tables.items()
        }


@pytest.fixture
def old(database: str, request: pytest.FixtureRequest) -> str:
    """The address of a database of revision 0001 that holds the asset's rows."""
    if not database.startswith("postgresql"):
        shutil.copy(ASSET, database)
        return database
    url = request.getfixturevalue("bare_postgres")
    asset, engine = create_engine(f"sqlite:///{ASSET}"), connect(url)
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
        config.attributes |= {"connection": connection, "version_table": schema.VERSION_TABLE}
        command.upgrade(config, "0001")
        for name, found in rows(asset).items():
            table = Base.metadata.tables[name]
            connection.execute(insert(table), [dict(zip(table.columns.keys(), row, strict=True)) for row in found])
    asset.dispose()
    engine.dispose()
    return url


def test_the_asset_is_of_revision_0001_and_holds_something() -> None:
    with sqlite3.connect(f"file:{ASSET}?mode=ro", uri=True) as raw:
        assert raw.execute(f"SELECT version_num FROM {schema.VERSION_TABLE}").fetchall() == [("0001",)]
        counts = {name: raw.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in BEFORE}
    raw.close()
    assert counts == {"supernets": 1, "campaigns": 2, "evaluations": 3, "candidates": 5}


def test_an_upgrade_keeps_every_row(old: str) -> None:
    engine = connect(old)
    before = rows(engine)
    schema.upgrade(engine)
    assert schema.current(engine) == schema.head()
    assert rows(engine) == before
    assert schema.check(engine).ok
    engine.dispose()


def test_an_upgraded_campaign_goes_on(old: str) -> None:
    engine = connect(old)
    schema.upgrade(engine)
    engine.dispose()
    key = EvaluationKey("fingerprint", "split", "bf16")
    with open_store(old, create=False) as store:
        assert [candidate.status for candidate in store.candidates("digits")] == [
            *(Status.COMPLETED, Status.COMPLETED, Status.FAILED, Status.RACED, Status.PROPOSED)
        ]
        assert store.candidate("digits", 2).error == "out of memory: größer"
        assert set(store.known("digits", key, ["aa", "bp", "dp", "da"])) == {"aa", "bp", "dp"}
        store.request("digits", "stop")
        assert store.retry("digits") == 1


def test_an_older_database_is_not_opened_but_told_what_to_do(old: str) -> None:
    for create in (True, False):
        with pytest.raises(StoreError, match="has schema 0001, expected 0002; run `glora-search db upgrade`"):
            open_store(old, create)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_an_upgrade_leaves_a_copy_of_what_was(old: str, tmp_path: Path) -> None:
    engine = connect(old)
    before = rows(engine)
    copied = schema.upgrade(engine)
    assert copied == tmp_path / "glora.db.before-0002.bak"
    assert schema.upgrade(engine) is None
    engine.dispose()
    kept = connect(str(copied), create=False)
    assert (schema.current(kept), rows(kept)) == ("0001", before)
    kept.dispose()


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_copy_that_is_there_is_left_alone(old: str, tmp_path: Path) -> None:
    first = tmp_path / "glora.db.before-0002.bak"
    first.write_text("mine")
    engine = connect(old)
    assert schema.upgrade(engine) == tmp_path / "glora.db.before-0002.2.bak"
    engine.dispose()
    assert first.read_text() == "mine"


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_without_a_copy_nothing_is_upgraded(old: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(engine: Engine, to: Path) -> Path:
        raise StoreError("the disk is full")

    monkeypatch.setattr("db.backup.copy", full)
    engine = connect(old)
    with pytest.raises(StoreError, match="the disk is full"):
        schema.upgrade(engine)
    assert schema.current(engine) == "0001"
    engine.dispose()


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_postgresql_upgrades_without_a_copy(old: str) -> None:
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


def test_an_old_database_shared_with_others_is_upgraded_and_theirs_left_alone(old: str, share) -> None:
    engine = share(old)
    before = rows(engine)
    schema.upgrade(engine)
    with engine.connect() as connection:
        assert connection.scalars(text("SELECT version_num FROM alembic_version")).all() == ["v3.0.0.d"]
    assert rows(engine) == before
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
