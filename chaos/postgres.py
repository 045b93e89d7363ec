"""A PostgreSQL server of our own, on a socket that only this machine reaches; it lends databases.

    with postgres.server() as lend, lend() as url, open_store(url) as store: ...

The addresses are good for `db.store.open_store` and for `--db`, in this process and in others.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text

from db.engine import connect
from db.models import Base
from db.store import open_store

Lend = Callable[..., AbstractContextManager[str]]  # lend(tables=True): the address of a database nobody else uses
QUICK = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off -c shared_buffers=32MB"
AS_IT_COMES = ""  # each commit waits for the disk
CONNECTIONS = "-c max_connections=200"
REQUIRED = "GLORA_SEARCH_REQUIRE_POSTGRES"  # environment variable: with 1, tests fail where they would be skipped


class NoPostgres(Exception):
    """PostgreSQL's programs, a user to run them or the driver are missing; says what to install."""


@contextmanager
def server(options: str = QUICK) -> Iterator[Lend]:
    """Start a server and end it again; what it held is gone then. Raises `NoPostgres`."""
    programs, user = _programs(), _unprivileged()
    folder = Path(tempfile.mkdtemp(prefix="glora-pg-", dir="/tmp"))  # a socket's path may have 107 characters
    become: dict[str, Any] = {}
    if user is not None:
        os.chown(folder, user.pw_uid, user.pw_gid)
        become = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}

    def run(program: str, *arguments: str) -> None:
        command = [str(programs / program), "-D", str(folder / "data"), *arguments]
        subprocess.run(command, cwd=folder, check=True, timeout=120, stdout=subprocess.DEVNULL, **become)

    try:
        run("initdb", "--username=postgres", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C")
        hba = folder / "data" / "pg_hba.conf"
        hba.write_text("local all locked scram-sha-256\n" + hba.read_text())  # a role that must give a password
        where = f"-k {folder} -c listen_addresses='' {CONNECTIONS} {options}"
        run("pg_ctl", "--wait", "--log", str(folder / "log"), "-o", where, "start")
        try:
            yield _databases(f"postgresql://postgres@/{{}}?host={folder}")
        finally:
            run("pg_ctl", "--wait", "--mode=immediate", "stop")
    finally:
        shutil.rmtree(folder)


@contextmanager
def server_or_skip() -> Iterator[Lend]:
    """The same for a test's fixture: without PostgreSQL the test is skipped, or fails where REQUIRED says so."""
    import pytest

    with ExitStack() as stack:
        try:
            lend = stack.enter_context(server())
        except NoPostgres as missing:
            if os.environ.get(REQUIRED) == "1":
                pytest.fail(f"PostgreSQL is required, but {missing}", pytrace=False)
            pytest.skip(f"no PostgreSQL: {missing}")
        yield lend


def _databases(url: str) -> Lend:
    """Lends a database that has the tables and no rows, or with `tables=False` one that never had any."""
    engine = create_engine(url.format("postgres").replace("://", "+psycopg://"), isolation_level="AUTOCOMMIT")
    numbers, empty = count(), list[str]()
    every_table = ", ".join(Base.metadata.tables)

    def new() -> str:
        name = f"glora_{next(numbers)}"
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return url.format(name)

    def emptied(address: str) -> None:
        lent = connect(address)
        with lent.begin() as connection:
            connection.execute(text(f"TRUNCATE {every_table} RESTART IDENTITY CASCADE"))
        lent.dispose()

    @contextmanager
    def lend(tables: bool = True) -> Iterator[str]:
        if tables and not empty:
            empty.append(new())
            open_store(empty[-1]).close()
        address = empty.pop() if tables else new()
        yield address
        if tables:
            emptied(address)
            empty.append(address)

    return lend


def _programs() -> Path:
    """The folder of initdb and pg_ctl."""
    if importlib.util.find_spec("psycopg") is None:
        raise NoPostgres("psycopg is not installed: pip install 'glora-search[postgres]'")
    folders = [*map(Path, os.get_exec_path()), *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "pg_ctl").exists():
            return folder
    raise NoPostgres("neither PATH nor /usr/lib/postgresql has initdb and pg_ctl: install PostgreSQL's server")


def _unprivileged() -> pwd.struct_passwd | None:
    """Whom to start the server as, since initdb refuses root; None for whoever we are."""
    if os.geteuid() != 0:
        return None
    known = {user.pw_name: user for user in pwd.getpwall()}
    if user := known.get("postgres") or known.get("nobody"):
        return user
    raise NoPostgres("there is no user `postgres` or `nobody` to run it, and initdb refuses root")
