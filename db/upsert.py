"""INSERT .. ON CONFLICT, which SQLite and PostgreSQL write alike and SQLAlchemy keeps apart."""

from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from db.models import Base

INSERT: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def insert(session: Session, table: type[Base]) -> Any:
    """The INSERT of the session's database into a table; it has `on_conflict_do_update`."""
    return INSERT[session.get_bind().dialect.name](table)
