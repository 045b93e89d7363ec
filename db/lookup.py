"""Finding a campaign by name and a candidate by number; what is not there is a `NotFound` that names what is.

Law: a write that names a campaign finds it with `to_write`. On PostgreSQL that locks the row until the end of the
transaction, so that the writes of one campaign come one after the other, as all writes do on SQLite.
"""

from typing import NoReturn

from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session

from db.errors import NotFound, nearest
from db.models import CampaignRow, CandidateRow

LARGEST = 2**31 - 1  # what an integer column of every database holds
BY_NAME = select(CampaignRow.__table__.c.id).where(CampaignRow.__table__.c.name == bindparam("name"))
TO_WRITE = BY_NAME.with_for_update(key_share=True)


def campaign_id(session: Session, name: str, to_write: bool = False) -> int:
    """Of the campaign, without its row, whose config and genes take a millisecond to read."""
    found: int | None = session.connection().scalar(TO_WRITE if to_write else BY_NAME, {"name": name})
    if found is not None:
        return found
    names = list(session.scalars(select(CampaignRow.name).order_by(CampaignRow.id.desc()).limit(1000)))
    known = f"; known are {', '.join(names[:10])}" if names else "; there are none yet, launch one first"
    raise NotFound(f"no campaign is named {name!r}{nearest(name, names) or known}")


def campaign(session: Session, name: str) -> CampaignRow:
    return session.get_one(CampaignRow, campaign_id(session, name))


def candidate(session: Session, campaign_id: int, number: int) -> CandidateRow:
    row = session.get(CandidateRow, (campaign_id, number)) if abs(number) <= LARGEST else None
    return row or no_candidate(session, campaign_id, number)


def no_candidate(session: Session, campaign_id: int, number: int) -> NoReturn:
    """Raises `NotFound` with the range of ids there are."""
    proposed, name = count(session, campaign_id), session.get_one(CampaignRow, campaign_id).name
    hint = f"its ids run from 0 to {proposed - 1}" if proposed else "it has none yet"
    raise NotFound(f"campaign {name!r} has no candidate {number}; {hint}")


def count(session: Session, campaign_id: int) -> int:
    """Candidates that the campaign proposed."""
    return session.scalar(select(func.count()).where(CandidateRow.campaign_id == campaign_id)) or 0


def latest_generation(session: Session, campaign_id: int) -> int | None:
    """Of the candidate proposed last, which no other generation follows; None before the first."""
    own = select(CandidateRow.generation).where(CandidateRow.campaign_id == campaign_id)
    return session.scalar(own.order_by(CandidateRow.number.desc()).limit(1))
