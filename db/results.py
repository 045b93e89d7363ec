"""An outcome becomes part of a campaign: the memo keeps it, its candidate is finished with it.

Laws. The first outcome of a candidate stays, with one exception: a worker thought dead may still answer, and a failed
candidate takes a completed outcome as long as no later generation was proposed, since nothing was selected on its
failure. Afterwards it stays failed, so that a replay stays exact; the memo keeps the evaluation for others.
"""

from typing import Any

from sqlalchemy import Row, bindparam, select, update
from sqlalchemy.orm import Session

from db import lookup, memo, rows
from db.models import CandidateRow, now
from db.records import EvaluationKey, Outcome, Status

# Made once, and run without the session's rows: the writers of all campaigns wait for one another meanwhile.
TABLE = CandidateRow.__table__.c
THIS = TABLE.campaign_id == bindparam("campaign"), TABLE.number == bindparam("id")
FIND = select(TABLE.genome, TABLE.generation, *rows.ENDED).where(*THIS)
FINISH = update(CandidateRow.__table__).where(*THIS)  # type: ignore[arg-type]  # a table, but typed as any FROM


def record(session: Session, campaign_id: int, candidate_id: int, key: EvaluationKey, outcome: Outcome) -> Outcome:
    """Finish a candidate with what the memo keeps of `outcome`, or leave it as it ended; returns how it ended."""
    row = _found(session, campaign_id, candidate_id)
    came = memo.sound(outcome)
    if row.status != Status.PROPOSED and came == rows.ended(row, came.correct):
        return came  # told again by a replay, perhaps under another key than it was measured with
    first = memo.remember(session, key, row.genome, came)
    if row.status == Status.PROPOSED or _in_time(session, campaign_id, row, first):
        values = _values(first) | {"evaluation_digest": key.digest(row.genome), "finished_at": now()}
        session.connection().execute(FINISH, {"campaign": campaign_id, "id": candidate_id} | values)
        return first
    return memo.own(session, campaign_id, [row.genome])[row.genome]


def _found(session: Session, campaign_id: int, candidate_id: int) -> Row[Any]:
    """Raises `NotFound`."""
    this = {"campaign": campaign_id, "id": candidate_id}
    row = session.connection().execute(FIND, this).first() if abs(candidate_id) <= lookup.LARGEST else None
    return row or lookup.no_candidate(session, campaign_id, candidate_id)


def _in_time(session: Session, campaign_id: int, row: Row[Any], first: Outcome) -> bool:
    """Whether a success comes after the failure of its candidate, and before anything was selected on that."""
    late = row.status == Status.FAILED and first.status == Status.COMPLETED
    return late and lookup.latest_generation(session, campaign_id) == row.generation


def _values(outcome: Outcome) -> dict[str, Any]:
    return {column.name: getattr(outcome, column.name) for column in rows.ENDED}
