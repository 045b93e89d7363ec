"""Two processes never both run a campaign: a lease with a heartbeat and a fencing token.

Laws. A lease is given when nobody holds the campaign, when its holder's last heartbeat is older than `stale_after`, or
when the one that is held is known to be a dead process's, by its token; each lease of a name has a token one higher
than the last. A write under a lease checks in its own transaction that the campaign's token is still the lease's, and
otherwise writes nothing: a process that slept through its lease can do no harm. Clocks decide only when a lease may be
taken over, never whether two may write; processes on several machines need clocks that agree to well within
`stale_after`.

`acquire` is one statement (INSERT .. ON CONFLICT DO UPDATE .. WHERE .. RETURNING), so that of many at once one wins.
`fence` locks the lease's row on PostgreSQL: whoever takes over waits for the write under way.
"""

from datetime import UTC, datetime, timedelta
from shlex import quote

from sqlalchemy import ColumnElement, bindparam, or_, select, update
from sqlalchemy.orm import Session

from db.errors import Held, LeaseLost
from db.memo import storable
from db.models import CampaignRow, LeaseRow
from db.records import Driver
from db.records import Lease as Lease
from db.upsert import insert

TABLE = LeaseRow.__table__.c
SAME = TABLE.name == bindparam("name"), TABLE.token == bindparam("token"), TABLE.holder.is_not(None)
CAMPAIGN = CampaignRow.__table__.c
# Made once: every write of a campaign begins so.
FENCE = select(TABLE.token).where(*SAME).with_for_update(read=True)
OWN = select(CAMPAIGN.id).where(CAMPAIGN.name == bindparam("campaign"), select(TABLE.token).where(*SAME).exists())


def acquire(
    session: Session, name: str, holder: str, now: datetime, stale_after: timedelta, dead: int | None = None
) -> Lease:
    """The lease of the campaign `name`. Raises `Held`."""
    holder = storable(holder)
    taken = {"holder": holder, "since": now, "heartbeat": now}
    free = or_(LeaseRow.holder.is_(None), LeaseRow.heartbeat < now - stale_after, LeaseRow.token == dead)
    first = insert(session.get_bind().dialect.name, LeaseRow.__table__).values(name=name, token=1, **taken)
    next_one = first.on_conflict_do_update(
        index_elements=["name"], set_={"token": LeaseRow.token + 1, **taken}, where=free
    )
    token = session.scalar(next_one.returning(LeaseRow.token))
    if token is None:
        raise _held(session.get_one(LeaseRow, name), stale_after)
    return Lease(name, token, holder)


def driver(session: Session, name: str) -> Driver | None:
    """Who holds it, stale or not."""
    row = session.get(LeaseRow, name)
    return None if row is None or row.holder is None else Driver(row.holder, row.since, row.heartbeat)


def beat(session: Session, lease: Lease, now: datetime) -> None:
    """Say that the holder lives. Raises `LeaseLost`."""
    beaten = update(LeaseRow).where(*_good(lease)).values(heartbeat=now).returning(LeaseRow.token)
    if session.scalar(beaten) is None:
        raise _lost(session, lease)


def release(session: Session, lease: Lease) -> None:
    """Give the lease back; one that is no longer good stays as it is."""
    session.execute(update(LeaseRow).where(*_good(lease)).values(holder=None))


def fence(session: Session, lease: Lease) -> None:
    """Go on only under a good lease, which stays good until the transaction ends. Raises `LeaseLost`."""
    if session.connection().scalar(FENCE, {"name": lease.name, "token": lease.token}) is None:
        raise _lost(session, lease)


def own(session: Session, lease: Lease, campaign: str) -> int | None:
    """The campaign's number in the database, by one statement that is `fence` too.

    None where there is no such campaign, where the lease is lost, and on PostgreSQL, whose rows are locked one by one.
    """
    connection = session.connection()
    if connection.dialect.name != "sqlite":
        return None
    found: int | None = connection.scalar(OWN, {"campaign": campaign, "name": lease.name, "token": lease.token})
    return found


def _good(lease: Lease) -> tuple[ColumnElement[bool], ...]:
    return LeaseRow.name == lease.name, LeaseRow.token == lease.token, LeaseRow.holder.is_not(None)


def _held(row: LeaseRow, stale_after: timedelta) -> Held:
    free_after = row.heartbeat + stale_after
    who = f"campaign {row.name!r} is run by {row.holder} since {_clock(row.since)}"
    beats = f"its last heartbeat was at {_clock(row.heartbeat)}, and without another it is free after "
    advice = f"wait until then, or end that run with `glora-search pause {quote(row.name)}`"
    message = f"{who}; {beats}{_clock(free_after)}; {advice}"
    return Held(message, str(row.holder), row.token, row.since, row.heartbeat, free_after)


def _lost(session: Session, lease: Lease) -> LeaseLost:
    row = session.get(LeaseRow, lease.name)
    taken = row is not None and row.holder is not None
    now = f"{row.holder} runs it since {_clock(row.since)}" if row and taken else "nobody runs it now"
    advice = f"nothing was written; go on with `glora-search resume {quote(lease.name)}`" + (
        " after that run" if taken else ""
    )
    return LeaseLost(f"{lease.holder} no longer runs campaign {lease.name!r}: its lease has ended, {now}; {advice}")


def _clock(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
