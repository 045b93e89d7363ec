"""Going back: failed candidates scored again, later generations proposed again."""

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from db.models import CandidateRow, EvaluationRow
from db.records import Status

SCORED = ("accuracy", "loss", "seconds", "worker", "error", "bound", "seen", "evaluation_digest", "finished_at")


def retry(session: Session, campaign_id: int) -> int:
    """Failed candidates become `proposed` again and the memo forgets their failures; returns how many."""
    failed = CandidateRow.campaign_id == campaign_id, CandidateRow.status == Status.FAILED
    digests = select(CandidateRow.evaluation_digest).where(*failed)
    session.execute(
        delete(EvaluationRow)
        .where(EvaluationRow.status == Status.FAILED, EvaluationRow.digest.in_(digests))
        .execution_options(synchronize_session=False)
    )
    back = update(CandidateRow).where(*failed).values(status=Status.PROPOSED, **dict.fromkeys(SCORED))
    return len(session.scalars(back.returning(CandidateRow.number)).all())


def rewind(session: Session, campaign_id: int, generation: int) -> int:
    """Remove the candidates of the generations after `generation`; returns how many."""
    later = CandidateRow.campaign_id == campaign_id, CandidateRow.generation > generation
    removed = delete(CandidateRow).where(*later).execution_options(synchronize_session=False)
    return len(session.scalars(removed.returning(CandidateRow.number)).all())
