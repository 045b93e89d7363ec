"""A store in a fresh SQLite file and again in a fresh PostgreSQL database, with a campaign of three genes in it.

What takes `store`, `shared` or `database` runs on both; what is SQLite's alone says so:
`@pytest.mark.parametrize("database", ["sqlite"], indirect=True)`. Without PostgreSQL's programs its half is skipped,
unless GLORA_SEARCH_REQUIRE_POSTGRES=1: then it fails.
"""

import importlib.util
import json
import os
import pwd
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import count
from pathlib import Path
from typing import Any, NoReturn

import pytest
from sqlalchemy import create_engine, text

import db
from db.engine import connect
from db.models import Base
from db.records import EvaluationKey, Gene, Outcome, Proposal, Status
from db.store import Store, open_store

ROOT = Path(db.__file__).parent.parent
BACKENDS = ("sqlite", "postgresql")

FORMS = {"a": "none", "b": "scalar", "c": "vector", "d": "lora4"}
GENES: list[Gene] = [
    {"name": "blocks.0.attn.qkv[q].B", "alphabet": FORMS},
    {"name": "blocks.3.mlp.fc1.A", "alphabet": FORMS},
    {"name": "blocks.3.prompt", "alphabet": {"a": "none", "p": "prompt8"}},
]
NUMERICS = {"precision": "bf16", "chunk": 64}


@pytest.fixture(scope="session")
def key() -> EvaluationKey:
    return EvaluationKey("fingerprint", "split", "bf16")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Callable[..., AbstractContextManager[str]]]:
    """Start a PostgreSQL of our own on a socket that only we reach; lends databases that nobody else uses."""
    programs = _postgres_programs()
    folder = Path(tempfile.mkdtemp(prefix="glora-pg-", dir="/tmp"))  # a socket's path may have 107 characters
    user = _unprivileged()
    if user is not None:
        os.chown(folder, user.pw_uid, user.pw_gid)

    def run(program: str, *arguments: str) -> None:
        become = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
        command = [str(programs / program), "-D", str(folder / "data"), *arguments]
        subprocess.run(command, cwd=folder, check=True, timeout=120, stdout=subprocess.DEVNULL, **become)

    quick = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off -c shared_buffers=32MB"
    try:
        run("initdb", "--username=postgres", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C")
        hba = folder / "data" / "pg_hba.conf"
        hba.write_text("local all locked scram-sha-256\n" + hba.read_text())  # a role that must give a password
        options = f"-k {folder} -c listen_addresses='' {quick}"
        run("pg_ctl", "--wait", "--log", str(folder / "log"), "-o", options, "start")
        try:
            yield _databases(f"postgresql://postgres@/{{}}?host={folder}")
        finally:
            run("pg_ctl", "--wait", "--mode=immediate", "stop")
    finally:
        shutil.rmtree(folder)


def _databases(url: str) -> Callable[..., AbstractContextManager[str]]:
    """Lends a database that has the tables and no rows, or with `tables=False` one that never had any."""
    server = create_engine(url.format("postgres").replace("://", "+psycopg://"), isolation_level="AUTOCOMMIT")
    numbers, empty = count(), list[str]()
    every_table = ", ".join(Base.metadata.tables)

    def new() -> str:
        name = f"glora_{next(numbers)}"
        with server.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        server.dispose()
        return url.format(name)

    @contextmanager
    def lend(tables: bool = True) -> Iterator[str]:
        if tables and not empty:
            empty.append(new())
            open_store(empty[-1]).close()
        address = empty.pop() if tables else new()
        yield address
        if tables:
            engine = connect(address)
            with engine.begin() as connection:
                connection.execute(text(f"TRUNCATE {every_table} RESTART IDENTITY CASCADE"))
            engine.dispose()
            empty.append(address)

    return lend


def _postgres_programs() -> Path:
    """The folder of initdb and pg_ctl. Skips without, or fails where PostgreSQL is required."""
    if importlib.util.find_spec("psycopg") is None:
        _without_postgres("psycopg is not installed: pip install 'glora-search[postgres]'")
    folders = [*map(Path, os.get_exec_path()), *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    found = (folder for folder in folders if (folder / "initdb").exists() and (folder / "pg_ctl").exists())
    missing = "neither PATH nor /usr/lib/postgresql has initdb and pg_ctl: install PostgreSQL's server"
    return next(found, None) or _without_postgres(missing)


def _unprivileged() -> pwd.struct_passwd | None:
    """Whom to start the server as, since initdb refuses root; None for whoever we are."""
    if os.geteuid() != 0:
        return None
    known = {user.pw_name: user for user in pwd.getpwall()}
    return known.get("postgres") or known.get("nobody") or _without_postgres("no user `postgres` or `nobody` to run it")


def _without_postgres(reason: str) -> NoReturn:
    if os.environ.get("GLORA_SEARCH_REQUIRE_POSTGRES") == "1":
        pytest.fail(f"PostgreSQL is required, but {reason}", pytrace=False)
    pytest.skip(f"no PostgreSQL: {reason}")


@pytest.fixture(scope="session")
def empty_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite database that has the tables and no rows; copied, since Alembic takes 50 ms to make one."""
    path = tmp_path_factory.mktemp("empty") / "glora.db"
    open_store(str(path)).close()
    return path


@pytest.fixture(params=BACKENDS)
def database(request: pytest.FixtureRequest, tmp_path: Path, empty_file: Path) -> Iterator[str]:
    """The address of a database that has no campaigns."""
    if request.param == "sqlite":
        yield str(shutil.copy(empty_file, tmp_path / "glora.db"))
        return
    with request.getfixturevalue("postgres")() as address:
        yield address


@pytest.fixture
def bare_postgres(postgres: Callable[..., AbstractContextManager[str]]) -> Iterator[str]:
    """The address of a PostgreSQL database without our tables."""
    with postgres(tables=False) as address:
        yield address


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    with open_store(database) as store:
        yield store


@pytest.fixture(scope="module", params=BACKENDS)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One store for all examples of a module's properties."""
    file = nullcontext(str(tmp_path_factory.mktemp("shared") / "glora.db"))
    place = file if request.param == "sqlite" else request.getfixturevalue("postgres")()
    with place as address, open_store(address) as store:
        yield store


@pytest.fixture(scope="session")
def crowd() -> Callable[..., list[dict[str, Any]]]:
    """Run a part of crowd.py in many processes at once; what they said, a line each, in order of saying."""

    def crowd(part: str, *arguments: object) -> list[dict[str, Any]]:
        command = [sys.executable, str(Path(__file__).with_name("crowd.py")), part, *map(str, arguments)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(command, env=environment, text=True, start_new_session=True, **pipes) as running:
            try:
                said, complained = running.communicate(timeout=90)
            except subprocess.TimeoutExpired:
                os.killpg(running.pid, signal.SIGKILL)  # the children too
                raise
        assert (running.returncode, complained) == (0, "")
        return [json.loads(line) for line in said.splitlines()]

    return crowd


@pytest.fixture(scope="session")
def begin() -> Callable[[Store, str], None]:
    def begin(store: Store, name: str) -> None:
        """Create a campaign and begin its search over GENES."""
        store.create_campaign(name, {"name": name}, seed=0)
        store.begin_search(name, GENES, "fingerprint", "split", NUMERICS)

    return begin


@pytest.fixture
def searched(store: Store, begin: Callable[[Store, str], None]) -> Store:
    """The store with a campaign `digits` whose search has begun."""
    begin(store, "digits")
    return store


@pytest.fixture(scope="session")
def proposals() -> Callable[..., list[Proposal]]:
    def proposals(genomes: list[str], first: int = 0) -> list[Proposal]:
        return [Proposal(first + i, genome, "random", (), 100 * i) for i, genome in enumerate(genomes)]

    return proposals


@pytest.fixture(scope="session")
def completed() -> Callable[..., Outcome]:
    def completed(accuracy: float = 0.5, loss: float = 1.0) -> Outcome:
        return Outcome(Status.COMPLETED, accuracy, loss, seconds=0.1, worker="w0", correct=b"\x0f")

    return completed


@pytest.fixture(scope="session")
def genomes() -> list[str]:
    """All genomes of GENES in an order of their own."""
    every = [a + b + c for a in "abcd" for b in "abcd" for c in "ap"]
    random.Random(0).shuffle(every)
    return every
