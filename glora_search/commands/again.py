"""What a command that a message suggests needs besides its name."""

from __future__ import annotations

import shlex
from pathlib import Path

from db.engine import readable
from glora_search.places import DEFAULT_DB, DEFAULT_RUNS


def options(db: str, runs: Path = DEFAULT_RUNS) -> str:
    """The options that it needs too; a database's password is not repeated."""
    given = f" --db {shlex.quote(readable(db))}" if db != DEFAULT_DB else ""
    return given + (f" --runs {shlex.quote(str(runs))}" if runs != DEFAULT_RUNS else "")
