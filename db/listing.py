"""Which candidates a person asked for, in which order."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from db import filters, rows
from db.front import front as front_of
from db.models import CampaignRow, CandidateRow
from db.records import Candidate


def candidates(
    session: Session, campaign: CampaignRow, where: str | None, order_by: str | None, front: bool, limit: int | None
) -> list[Candidate]:
    """As `Store.candidates`. Raises `BadQuery`."""
    own = CandidateRow.campaign_id == campaign.id
    asked = [filters.condition(where, campaign.genes or ())] if where is not None else []
    order = filters.order(order_by) if order_by else [CandidateRow.number]
    # `number >= 0` is true of every row: where no index serves, SQLite then reads them in the order of their numbers,
    # in which they lie, and not in that of (campaign, accuracy), which takes six times as long.
    which = [CandidateRow.number.in_(front_of(campaign.id, *asked))] if front else [*asked, CandidateRow.number >= 0]
    found = session.execute(select(*rows.CANDIDATE).where(own, *which).order_by(*order).limit(limit))
    return [rows.candidate(row) for row in found]
