"""How far a campaign's search is."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db import lookup, rows
from db.models import CandidateRow
from db.records import Progress, Rank, Status


def progress(session: Session, campaign_id: int, by: Rank = "accuracy") -> Progress:
    """`by`: what makes a candidate the best, the other figure and then the id deciding between equal ones."""
    own = CandidateRow.campaign_id == campaign_id
    by_status = select(CandidateRow.status, func.count()).where(own).group_by(CandidateRow.status)
    counts = dict(session.execute(by_status).all())
    figures = CandidateRow.accuracy.desc(), CandidateRow.loss.asc()
    ranked = *(figures if by == "accuracy" else reversed(figures)), CandidateRow.number
    completed = CandidateRow.status == Status.COMPLETED
    best = session.execute(select(*rows.CANDIDATE).where(own, completed).order_by(*ranked).limit(1)).first()
    return Progress(
        proposed=counts.get(Status.PROPOSED, 0),
        completed=counts.get(Status.COMPLETED, 0),
        failed=counts.get(Status.FAILED, 0),
        raced=counts.get(Status.RACED, 0),
        generation=lookup.latest_generation(session, campaign_id),
        best=rows.candidate(best) if best else None,
    )
