"""Finding a campaign by name and a candidate by number; what is not there is a `NotFound` that names what is.

Law: a write that names a campaign finds it with `to_write`. On PostgreSQL that locks the row until the end of the
transaction, so that the writes of one campaign come one after the other, as all writes do on SQLite.
"""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.errors import NotFound, nearest
from db.models import CampaignRow, CandidateRow

LARGEST = 2**31 - 1  # what an integer column of every database holds


def campaign(session: Session, name: str, to_write: bool = False) -> CampaignRow:
    query = select(CampaignRow).where(CampaignRow.name == name)
    row = session.scalars(query.with_for_update(key_share=True) if to_write else query).first()
    if row is not None:
        return row
    names = list(session.scalars(select(CampaignRow.name).order_by(CampaignRow.id.desc()).limit(1000)))
    known = f"; known are {', '.join(names[:10])}" if names else "; there are none yet, launch one first"
    raise NotFound(f"no campaign is named {name!r}{nearest(name, names) or known}")


def candidate(session: Session, campaign: CampaignRow, number: int) -> CandidateRow:
    row = session.get(CandidateRow, (campaign.id, number)) if abs(number) <= LARGEST else None
    if row is not None:
        return row
    proposed = count(session, campaign.id)
    hint = f"its ids run from 0 to {proposed - 1}" if proposed else "it has none yet"
    raise NotFound(f"campaign {campaign.name!r} has no candidate {number}; {hint}")


def count(session: Session, campaign_id: int) -> int:
    """Candidates that the campaign proposed."""
    return session.scalar(select(func.count()).where(CandidateRow.campaign_id == campaign_id)) or 0
