"""The tables in a database are those of the models, whoever else lives there."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text

from db import schema
from db.engine import connect
from db.errors import NewerSchema, StoreError
from db.models import Base
from db.store import Store, open_store

ROOT = Path(schema.__file__).parent.parent


def test_the_migrated_tables_are_those_of_the_models(store: Store) -> None:
    with store._engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": schema.VERSION_TABLE, "compare_type": True}
        )
        assert compare_metadata(context, Base.metadata) == []


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_keys_and_constraints_of_the_migrated_tables_are_those_of_the_models(store: Store, tmp_path: Path) -> None:
    fresh = create_engine(f"sqlite:///{tmp_path}/models.db")
    Base.metadata.create_all(fresh)
    migrated, modelled = inspect(store._engine), inspect(fresh)
    for name in Base.metadata.tables:
        assert migrated.get_pk_constraint(name) == modelled.get_pk_constraint(name)
        assert migrated.get_unique_constraints(name) == modelled.get_unique_constraints(name)
        assert migrated.get_foreign_keys(name) == modelled.get_foreign_keys(name)
    fresh.dispose()


def test_the_known_revisions_are_the_files_in_order() -> None:
    script = ScriptDirectory(str(Path(schema.__file__).parent / "migrations"))
    assert tuple(reversed([revision.revision for revision in script.walk_revisions()])) == schema.REVISIONS


def test_upgrading_twice_is_upgrading_once(store: Store) -> None:
    store.create_campaign("digits", {}, 0)
    schema.upgrade(store._engine)
    assert schema.current(store._engine) == schema.head()
    assert store.campaign("digits").name == "digits"


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_newer_schema_is_refused_and_left_alone(store: Store, tmp_path: Path) -> None:
    _set_revision(store, "9999")
    for create in (True, False):
        with pytest.raises(NewerSchema, match=r"9999.*install the glora-search that wrote it"):
            open_store(str(tmp_path / "glora.db"), create)
    with pytest.raises(NewerSchema):
        schema.upgrade(store._engine)
    assert schema.current(store._engine) == "9999"


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_an_older_schema_asks_for_an_upgrade(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "REVISIONS", (*schema.REVISIONS, "9999"))
    with pytest.raises(StoreError, match="glora-search db upgrade"):
        open_store(str(tmp_path / "glora.db"))


def test_a_foreign_alembic_version_in_the_same_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "shared.db"
    with sqlite3.connect(path) as raw:
        raw.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        raw.execute("INSERT INTO alembic_version VALUES ('v3.0.0.d')")
    with open_store(str(path)) as store:
        store.create_campaign("digits", {}, 0)
        assert schema.check(store._engine).ok
    assert raw.execute("SELECT version_num FROM alembic_version").fetchall() == [("v3.0.0.d",)]
    raw.close()


def test_a_foreign_db_module_beside_the_user_is_not_met(tmp_path: Path) -> None:
    for name in ("db.py", "env.py", "migrations.py", "alembic.py"):
        (tmp_path / name).write_text("raise RuntimeError('the wrong file')\n")
    code = "from db.store import open_store; open_store('glora.db').close()"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, env=environment, check=True, timeout=60)
    assert (tmp_path / "glora.db").exists()


def test_several_processes_may_make_the_same_database_at_once(tmp_path: Path, crowd) -> None:
    assert crowd("make", tmp_path / "glora.db", 4) == [{"campaigns": 0}] * 4


def test_a_sound_database_passes_the_check(searched: Store) -> None:
    assert schema.check(searched._engine) == schema.Check(schema.head(), schema.head(), (), ())


def test_rows_that_refer_to_nothing_are_found(searched: Store, proposals, completed, key) -> None:
    searched.propose("digits", 0, proposals(["aaa", "aba"]))
    searched.record("digits", 0, key, completed())
    with searched._engine.execution_options(writes=True).begin() as connection:
        connection.execute(text("DELETE FROM evaluations"))
    found = schema.check(searched._engine)
    assert found.orphans == ("1 completed candidates without an evaluation",)
    assert not found.ok


def test_a_database_without_our_tables_has_no_revision(tmp_path: Path) -> None:
    engine = connect(str(tmp_path / "new.db"))
    assert schema.current(engine) is None
    assert not schema.check(engine).ok
    engine.dispose()


def test_looking_at_a_store_does_not_import_alembic() -> None:
    code = "import sys, db.store; assert not [name for name in sys.modules if name.startswith('alembic')]"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


def _set_revision(store: Store, revision: str) -> None:
    with store._engine.execution_options(writes=True).begin() as connection:
        connection.execute(text(f"UPDATE {schema.VERSION_TABLE} SET version_num = :it"), {"it": revision})
