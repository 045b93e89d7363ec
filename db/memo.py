"""What was measured before, by any campaign: each evaluation once, the first completed result for good.

Laws: a completed result, once written, never changes; a failure is overwritten by the first completed result and
answers only the campaign whose candidate failed, until that campaign retries it; what was raced is never written.
"""

import math
from collections.abc import Iterable
from dataclasses import replace

from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from db import rows
from db.models import CandidateRow, EvaluationRow, now
from db.records import EvaluationKey, Outcome, Status
from db.upsert import insert

AT_ONCE = 500  # digests in one question
RESULT = ("status", "accuracy", "loss", "seconds", "worker", "correct", "error", "created_at")


def sound(outcome: Outcome) -> Outcome:
    """The outcome as it may be stored: completed only with an accuracy in [0, 1] and a finite loss, else failed."""
    accuracy, loss = outcome.accuracy, outcome.loss
    numbers = accuracy is not None and loss is not None and math.isfinite(loss) and 0 <= accuracy <= 1
    if outcome.status != Status.COMPLETED or numbers:
        return replace(outcome, error=outcome.error and storable(outcome.error))
    wrong = f"expected an accuracy in [0, 1] and a finite loss, got accuracy {accuracy} and loss {loss}"
    return Outcome(Status.FAILED, seconds=outcome.seconds, worker=outcome.worker, error=wrong)


def storable(text: str) -> str:
    """`text` with what no database takes (half characters, NUL) written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def known(session: Session, campaign_id: int, key: EvaluationKey, genomes: Iterable[str]) -> dict[str, Outcome]:
    """What is known of each genome: this campaign's own failures, and anyone's completed results."""
    genome_of = {key.digest(genome): genome for genome in genomes}
    digests = list(genome_of)
    found: dict[str, Outcome] = {}
    for start in range(0, len(digests), AT_ONCE):
        some = digests[start : start + AT_ONCE]
        completed = select(EvaluationRow).where(
            EvaluationRow.digest.in_(some),
            EvaluationRow.status == Status.COMPLETED,
        )
        failed = select(CandidateRow).where(
            CandidateRow.campaign_id == campaign_id,
            CandidateRow.status == Status.FAILED,
            CandidateRow.evaluation_digest.in_(some),
        )
        found |= {row.genome: rows.outcome(row) for row in session.scalars(completed)}
        found |= {row.genome: _failure(row) for row in session.scalars(failed)}
    return found


def remembered(session: Session, key: EvaluationKey) -> list[tuple[str, Outcome]]:
    """Every completed evaluation under `key` with its genome, oldest first."""
    same = EvaluationRow.split == key.split, EvaluationRow.numerics == key.numerics
    query = (
        select(EvaluationRow)
        .where(EvaluationRow.fingerprint == key.fingerprint, *same, EvaluationRow.status == Status.COMPLETED)
        .order_by(EvaluationRow.id)
    )
    return [(row.genome, rows.outcome(row)) for row in session.scalars(query)]


def _failure(row: CandidateRow) -> Outcome:
    return Outcome(Status.FAILED, seconds=row.seconds, worker=row.worker, error=row.error)


def remember(session: Session, key: EvaluationKey, genome: str, outcome: Outcome) -> Outcome:
    """Write an outcome unless a completed one is there; return the first completed one, or else `outcome`."""
    if outcome.status == Status.RACED:
        return outcome
    digest = key.digest(genome)
    first = insert(session, EvaluationRow).values(
        digest=digest,
        fingerprint=key.fingerprint,
        split=key.split,
        numerics=key.numerics,
        genome=genome,
        status=outcome.status,
        accuracy=outcome.accuracy,
        loss=outcome.loss,
        seconds=outcome.seconds,
        worker=outcome.worker,
        correct=outcome.correct,
        error=outcome.error,
        created_at=now(),
    )
    better = and_(EvaluationRow.status == Status.FAILED, first.excluded.status == Status.COMPLETED)
    replaced = {name: first.excluded[name] for name in RESULT}
    session.execute(first.on_conflict_do_update(index_elements=["digest"], set_=replaced, where=better))
    if outcome.status == Status.FAILED:
        return outcome
    return rows.outcome(session.scalars(select(EvaluationRow).where(EvaluationRow.digest == digest)).one())
