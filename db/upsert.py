"""INSERT .. ON CONFLICT, which SQLite and PostgreSQL write alike and SQLAlchemy keeps apart."""

from importlib import import_module
from typing import Any

from sqlalchemy import FromClause


def insert(dialect: str, table: FromClause) -> Any:
    """A database's INSERT into a table; it has `on_conflict_do_update`.

    Only that database's dialect is imported: both would make every command wait 0.1 s longer.
    """
    return import_module(f"sqlalchemy.dialects.{dialect}").insert(table)


def replacing(dialect: str, table: FromClause, key: str) -> Any:
    """The INSERT of a row that takes the place of one with the same key."""
    first = insert(dialect, table)
    rest = {column.name: first.excluded[column.name] for column in table.c if column.name != key}
    return first.on_conflict_do_update(index_elements=[key], set_=rest)
