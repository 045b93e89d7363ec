"""The store: one verb per need. Every verb is one transaction, returns frozen values, and raises `StoreError` only."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from sqlalchemy import Engine, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db import filters, memo, rows, schema
from db.engine import connect, reading, shown, writing
from db.errors import NameTaken, NotFound, ReplayMismatch, StoreError, nearest
from db.front import front as front_of
from db.models import CampaignRow, CandidateRow, SupernetRow, now
from db.proposals import ADVICE, propose
from db.records import Campaign, Candidate, EvaluationKey, Gene, Outcome, Progress, Proposal, State, Status, Supernet


def open_store(url: str, create: bool = True) -> "Store":
    """The store at a file path or database URL.

    With `create`, a new database gets its tables; without, nothing is ever made and a missing database is `NotFound`.
    Raises `StoreError` for an address, path or schema that cannot be used, `NewerSchema` for one of a later version.
    """
    engine = connect(url, create)
    try:
        schema.require(engine, create)
    except BaseException:
        engine.dispose()
        raise
    return Store(engine)


class Store:
    """Campaigns, candidates, supernets and the memo of one database; may be shared by threads, not across a fork."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.url = shown(engine.url)  # for people: without password

    def close(self) -> None:
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Campaigns

    def create_campaign(self, name: str, config: Mapping[str, Any], seed: int) -> Campaign:
        """A new campaign in state `created`. Raises `NameTaken`."""
        with writing(self._engine) as session:
            row = CampaignRow(name=name, state=State.CREATED, config=dict(config), seed=seed)
            session.add(row)
            try:
                session.flush()
            except IntegrityError as error:
                advice = "resume it, or launch under another name"
                raise NameTaken(f"a campaign named {name!r} exists already; {advice}") from error
            return rows.campaign(row)

    def campaign(self, name: str) -> Campaign:
        """Raises `NotFound`, as every verb below that takes a campaign's name."""
        with reading(self._engine) as session:
            return rows.campaign(_campaign(session, name))

    def campaigns(self) -> list[Campaign]:
        """All of them, oldest first."""
        with reading(self._engine) as session:
            return [rows.campaign(row) for row in session.scalars(select(CampaignRow).order_by(CampaignRow.id))]

    def set_state(self, name: str, state: State | str, error: str | None = None) -> None:
        """`error` says why, and goes away with the next state that is set without one."""
        with writing(self._engine) as session:
            row = _campaign(session, name)
            row.state, row.error = State(state), error

    def begin_search(
        self, name: str, genes: Sequence[Gene], fingerprint: str, split: str, numerics: Mapping[str, Any]
    ) -> None:
        """Store what genomes mean and what evaluations depend on; after the first proposal it can no longer change.

        Raises `ReplayMismatch` if it would.
        """
        came = {"genes": list(genes), "fingerprint": fingerprint, "split": split, "numerics": dict(numerics)}
        with writing(self._engine) as session:
            row = _campaign(session, name)
            stored = {what: getattr(row, what) for what in came}
            different = [what for what, value in came.items() if stored[what] != value]
            if different and _count(session, row.id):
                came_with = f"began with other {', '.join(different)}"
                raise ReplayMismatch(f"the search of campaign {name!r} {came_with}{ADVICE}")
            for what in different:
                setattr(row, what, came[what])

    def set_report(self, name: str, report: Mapping[str, Any]) -> None:
        """The final summary; outlives a power loss once this returns."""
        with writing(self._engine, durable=True) as session:
            _campaign(session, name).report = dict(report)

    # Supernets

    def supernet(self, recipe: str) -> Supernet | None:
        """The supernet trained from this recipe, if there is one."""
        with reading(self._engine) as session:
            row = session.get(SupernetRow, recipe)
            return rows.supernet(row) if row else None

    def record_supernet(self, supernet: Supernet) -> Supernet:
        """Remember a trained supernet; a later one of the same recipe takes its place."""
        with writing(self._engine) as session:
            row = session.merge(
                SupernetRow(
                    recipe=supernet.recipe,
                    fingerprint=supernet.fingerprint,
                    path=supernet.path,
                    trained_parameters=supernet.trained_parameters,
                    seconds=supernet.seconds,
                    created_at=supernet.created_at or now(),
                )
            )
            session.flush()
            return rows.supernet(row)

    # The search

    def propose(self, name: str, generation: int, proposals: Sequence[Proposal]) -> None:
        """Record a generation; again with the same proposals changes nothing. Raises `ReplayMismatch` for others."""
        with writing(self._engine) as session:
            propose(session, _campaign(session, name).id, name, generation, proposals)

    def known(self, name: str, key: EvaluationKey, genomes: Iterable[str]) -> dict[str, Outcome]:
        """What needs no evaluation: completed results of any campaign under `key`, and this one's own failures."""
        with reading(self._engine) as session:
            return memo.known(session, _campaign(session, name).id, key, genomes)

    def record(self, name: str, candidate_id: int, key: EvaluationKey, outcome: Outcome) -> None:
        """Write an outcome to the memo and finish its candidate; the first of each stays, later ones change nothing.

        A completed outcome without finite numbers is recorded as a failure.
        """
        if outcome.status == Status.PROPOSED:
            raise ValueError("an outcome is completed, failed or raced")
        with writing(self._engine) as session:
            row = _candidate(session, _campaign(session, name), candidate_id, lock=True)
            first = memo.remember(session, key, row.genome, memo.sound(outcome))
            if row.status == Status.PROPOSED:
                row.status, row.accuracy, row.loss = first.status, first.accuracy, first.loss
                row.seconds, row.worker, row.error, row.bound = first.seconds, first.worker, first.error, first.bound
                row.evaluation_digest, row.finished_at = key.digest(row.genome), now()

    def score_float32(self, name: str, candidate_id: int, accuracy: float, loss: float) -> None:
        """Add a finalist's scores in float32."""
        with writing(self._engine) as session:
            row = _candidate(session, _campaign(session, name), candidate_id)
            row.accuracy_float32, row.loss_float32 = accuracy, loss

    # Looking back

    def candidates(
        self,
        name: str,
        where: str | None = None,
        order_by: str | None = None,
        front: bool = False,
        limit: int | None = None,
    ) -> list[Candidate]:
        """Candidates by id, or by `order_by`: `accuracy`, `-accuracy`, `accuracy:desc`; `where` is as in `db.query`.

        `front` keeps the non-dominated in (error, parameters) among the completed that meet `where`. Raises `BadQuery`.
        """
        if limit is not None and limit < 0:
            raise StoreError(f"expected a limit of 0 or more, got {limit}")
        with reading(self._engine) as session:
            campaign = _campaign(session, name)
            conditions = [CandidateRow.campaign_id == campaign.id]
            if where is not None:
                conditions.append(filters.condition(where, campaign.genes or ()))
            order = filters.order(order_by) if order_by else [CandidateRow.number]
            if front:
                conditions = [conditions[0], CandidateRow.number.in_(front_of(*conditions))]
            found = session.execute(select(*rows.CANDIDATE).where(*conditions).order_by(*order).limit(limit))
            return [rows.candidate(row) for row in found]

    def candidate(self, name: str, candidate_id: int) -> Candidate:
        """Raises `NotFound` with the range of ids there are."""
        with reading(self._engine) as session:
            row = _candidate(session, _campaign(session, name), candidate_id)
            same = CandidateRow.campaign_id == row.campaign_id, CandidateRow.number == row.number
            return rows.candidate(session.execute(select(*rows.CANDIDATE).where(*same)).one())

    def progress(self, name: str) -> Progress:
        """How many candidates there are of each status, how far the search is, and the best so far."""
        with reading(self._engine) as session:
            own = CandidateRow.campaign_id == _campaign(session, name).id
            by_status = select(CandidateRow.status, func.count()).where(own).group_by(CandidateRow.status)
            counts = dict(session.execute(by_status).all())
            latest = select(CandidateRow.generation).where(own).order_by(CandidateRow.number.desc()).limit(1)
            ranked = CandidateRow.accuracy.desc(), CandidateRow.loss, CandidateRow.number
            completed = CandidateRow.status == Status.COMPLETED
            best = session.execute(select(*rows.CANDIDATE).where(own, completed).order_by(*ranked).limit(1)).first()
            return Progress(
                proposed=counts.get(Status.PROPOSED, 0),
                completed=counts.get(Status.COMPLETED, 0),
                failed=counts.get(Status.FAILED, 0),
                raced=counts.get(Status.RACED, 0),
                generation=session.scalar(latest),
                best=rows.candidate(best) if best else None,
            )


def _campaign(session: Session, name: str) -> CampaignRow:
    row = session.scalars(select(CampaignRow).where(CampaignRow.name == name)).first()
    if row is not None:
        return row
    names = list(session.scalars(select(CampaignRow.name).order_by(CampaignRow.id.desc()).limit(1000)))
    known = f"; known are {', '.join(names[:10])}" if names else "; there are none yet, launch one first"
    raise NotFound(f"no campaign is named {name!r}{nearest(name, names) or known}")


def _candidate(session: Session, campaign: CampaignRow, number: int, lock: bool = False) -> CandidateRow:
    row = session.get(CandidateRow, (campaign.id, number), with_for_update=lock)
    if row is not None:
        return row
    count = _count(session, campaign.id)
    hint = f"its ids run from 0 to {count - 1}" if count else "it has none yet"
    raise NotFound(f"campaign {campaign.name!r} has no candidate {number}; {hint}")


def _count(session: Session, campaign_id: int) -> int:
    return session.scalar(select(func.count()).where(CandidateRow.campaign_id == campaign_id)) or 0
