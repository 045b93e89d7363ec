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
    conditions = [CandidateRow.campaign_id == campaign.id]
    if where is not None:
        conditions.append(filters.condition(where, campaign.genes or ()))
    order = filters.order(order_by) if order_by else [CandidateRow.number]
    if front:
        conditions = [conditions[0], CandidateRow.number.in_(front_of(*conditions))]
    found = session.execute(select(*rows.CANDIDATE).where(*conditions).order_by(*order).limit(limit))
    return [rows.candidate(row) for row in found]
