"""From a row of a table to the frozen value that leaves the store."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import ColumnElement, Row

from db.models import CampaignRow, CandidateRow, EvaluationRow, SupernetRow
from db.records import Campaign, Candidate, Outcome, State, Status, Supernet

STATUS = {str(status): status for status in Status}
CANDIDATE: tuple[ColumnElement[Any], ...] = tuple(
    CandidateRow.__table__.columns["number" if field.name == "id" else field.name] for field in fields(Candidate)
)
_EVALUATION, _CANDIDATE = EvaluationRow.__table__.c, CandidateRow.__table__.c
OUTCOME: tuple[ColumnElement[Any], ...] = tuple(
    _EVALUATION[name] for name in ("status", "accuracy", "loss", "seconds", "worker", "correct", "error")
)
ENDED = tuple(
    _CANDIDATE[name] for name in ("status", "accuracy", "loss", "seconds", "worker", "error", "bound", "seen")
)


def campaign(row: CampaignRow) -> Campaign:
    return Campaign(
        id=row.id,
        name=row.name,
        state=State(row.state),
        config=row.config,
        seed=row.seed,
        genes=None if row.genes is None else tuple(row.genes),
        fingerprint=row.fingerprint,
        split=row.split,
        numerics=row.numerics,
        report=row.report,
        error=row.error,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def candidate(row: Row[Any]) -> Candidate:
    """`row` holds the columns `CANDIDATE`; by position, since a report may read 100,000 of them."""
    number, genome, generation, operator, parents, params, status, *rest = tuple[Any, ...](row)
    return Candidate(number, genome, generation, operator, tuple(parents), params, STATUS[status], *rest)


def supernet(row: SupernetRow) -> Supernet:
    return Supernet(row.recipe, row.fingerprint, row.path, row.trained_parameters, row.seconds, row.created_at)


def outcome(row: Sequence[Any]) -> Outcome:
    """`row` holds the columns `OUTCOME`."""
    status, *rest = row
    return Outcome(STATUS[status], *rest)


def ended(row: Row[Any] | CandidateRow, correct: bytes | None) -> Outcome:
    """How a candidate ended, from its row or the columns `ENDED`; `correct` is kept by its evaluation only."""
    figures = row.accuracy, row.loss, row.seconds, row.worker
    return Outcome(STATUS[row.status], *figures, correct, row.error, row.bound, row.seen)
