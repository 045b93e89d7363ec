"""An outcome becomes part of a campaign: the memo keeps it, its candidate is finished with it."""

from sqlalchemy.orm import Session

from db import lookup, memo
from db.models import CampaignRow, now
from db.records import EvaluationKey, Outcome, Status


def record(session: Session, campaign: CampaignRow, candidate_id: int, key: EvaluationKey, outcome: Outcome) -> None:
    """Finish a candidate with what the memo keeps of `outcome`; one that is finished stays as it is."""
    row = lookup.candidate(session, campaign, candidate_id)
    first = memo.remember(session, key, row.genome, memo.sound(outcome))
    if row.status == Status.PROPOSED:
        row.status, row.accuracy, row.loss = first.status, first.accuracy, first.loss
        row.seconds, row.worker, row.error, row.bound = first.seconds, first.worker, first.error, first.bound
        row.evaluation_digest, row.finished_at = key.digest(row.genome), now()
