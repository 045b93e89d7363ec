"""What was measured before, by any campaign: each evaluation once, the first completed result for good.

Laws. A completed result, once written, never changes; a failure is overwritten by the first completed result; what was
raced is never written. What a campaign recorded of a genome, however it ended, answers that campaign before anyone's
entry, and under whatever key it was recorded: a replay never changes a finished generation, also when somebody else
has meanwhile completed what failed there. So a failure answers only the campaign whose candidate failed, until it is
retried, and a raced candidate only the campaign that raced it, where it stood against the same places.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from db import rows
from db.models import CandidateRow, EvaluationRow, now
from db.proposals import genome_digest
from db.records import EvaluationKey, Outcome, Status
from db.upsert import insert

AT_ONCE = 500  # genomes in one question
COMPLETED = select(EvaluationRow.genome, *rows.OUTCOME).where(EvaluationRow.status == Status.COMPLETED)  # no whole rows
RESULT = ("status", "accuracy", "loss", "seconds", "worker", "correct", "error")


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
    """What is known of each genome: what this campaign recorded, else what anyone completed under `key`."""
    asked = list(dict.fromkeys(genomes))
    found: dict[str, Outcome] = {}
    for start in range(0, len(asked), AT_ONCE):
        some = asked[start : start + AT_ONCE]
        ended = own(session, campaign_id, some)
        found |= ended
        found |= _anyones(session, key, [genome for genome in some if genome not in ended])
    return found


def own(session: Session, campaign_id: int, genomes: Sequence[str]) -> dict[str, Outcome]:
    """How those candidates of a campaign ended that have; correctness where their evaluation is still there."""
    asked = CandidateRow.campaign_id == campaign_id, CandidateRow.genome_digest.in_(map(genome_digest, genomes))
    completed = CandidateRow.status == Status.COMPLETED  # the evaluation that failed here may be another's success
    query = (
        select(CandidateRow, EvaluationRow.correct)
        .outerjoin(EvaluationRow, and_(EvaluationRow.digest == CandidateRow.evaluation_digest, completed))
        .where(*asked, CandidateRow.status != Status.PROPOSED)
    )
    return {row.genome: rows.ended(row, correct) for row, correct in session.execute(query)}


def _anyones(session: Session, key: EvaluationKey, genomes: Sequence[str]) -> dict[str, Outcome]:
    """What any campaign completed under `key`."""
    query = COMPLETED.where(EvaluationRow.digest.in_(map(key.digest, genomes)))
    return {genome: rows.outcome(row) for genome, *row in session.execute(query)}


def remembered(session: Session, key: EvaluationKey) -> list[tuple[str, Outcome]]:
    """Every completed evaluation under `key` with its genome, oldest first."""
    same = EvaluationRow.split == key.split, EvaluationRow.numerics == key.numerics
    query = COMPLETED.where(EvaluationRow.fingerprint == key.fingerprint, *same).order_by(EvaluationRow.id)
    return [(genome, rows.outcome(row)) for genome, *row in session.execute(query)]


def remember(session: Session, key: EvaluationKey, genome: str, outcome: Outcome) -> Outcome:
    """Write an outcome unless a completed one is there; return the first completed one, or else `outcome`."""
    if outcome.status == Status.RACED:
        return outcome
    digest, result = key.digest(genome), {name: getattr(outcome, name) for name in RESULT}
    named = {"digest": digest, "genome": genome, "fingerprint": key.fingerprint, "split": key.split}
    values = {**named, **result, "numerics": key.numerics, "created_at": now()}
    connection = session.connection()
    written = connection.scalar(_first_completed_stays(connection.dialect.name), values) is not None
    if written or outcome.status == Status.FAILED:
        return outcome
    _, *kept = session.execute(COMPLETED.where(EvaluationRow.digest == digest)).one()
    return rows.outcome(kept)


@cache
def _first_completed_stays(dialect: str) -> Any:
    """The INSERT that gives way to a completed result; it returns something only if it wrote."""
    table = EvaluationRow.__table__.c
    first = insert(dialect, EvaluationRow.__table__)
    better = and_(table.status == Status.FAILED, first.excluded.status == Status.COMPLETED)
    replaced = {name: first.excluded[name] for name in (*RESULT, "created_at")}
    return first.on_conflict_do_update(index_elements=["digest"], set_=replaced, where=better).returning(table.id)
