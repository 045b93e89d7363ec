"""What a person asks of a campaign: a row written by any process that sees the database, read by the one that runs it.

    pause     propose no new candidates: record what is being scored, then end, ready to be resumed
    stop      finish the generation, then choose, report and export
    cancel    end now, with what is recorded

Laws: a campaign has at most one request; a stronger one takes a weaker one's place (cancel > stop > pause), never the
reverse; it stands until it is cleared. So whoever runs a campaign clears once at its start, when what was asked of an
earlier run no longer counts, and otherwise only what it has done (`only`): then a stronger request that came meanwhile
is not lost.
"""

from typing import cast, get_args

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from db.models import RequestRow, now
from db.records import Command
from db.upsert import insert

WEAKEST_FIRST: tuple[Command, ...] = get_args(Command)


def request(session: Session, campaign_id: int, command: Command) -> None:
    """Ask for `command`, unless something as strong was asked for already."""
    if command not in WEAKEST_FIRST:
        raise ValueError(f"expected one of {', '.join(WEAKEST_FIRST)}, got {command!r}")
    weaker = WEAKEST_FIRST[: WEAKEST_FIRST.index(command)]
    asked = {"command": command, "created_at": now()}
    first = insert(session.get_bind().dialect.name, RequestRow.__table__).values(campaign_id=campaign_id, **asked)
    stronger = RequestRow.command.in_(weaker)
    session.execute(first.on_conflict_do_update(index_elements=["campaign_id"], set_=asked, where=stronger))


def requested(session: Session, campaign_id: int) -> Command | None:
    found = session.scalar(select(RequestRow.command).where(RequestRow.campaign_id == campaign_id))
    return cast(Command | None, found)


def clear(session: Session, campaign_id: int, only: Command | None = None) -> None:
    """Take back what was asked; with `only`, unless it is something else by now."""
    query = delete(RequestRow).where(RequestRow.campaign_id == campaign_id)
    session.execute(query if only is None else query.where(RequestRow.command == only))
