"""The store: one verb per need. Every verb is one transaction, returns frozen values, and raises `StoreError` only.

This file is long because it is the list of all verbs; what a verb takes more than a few lines for lives in a file of
its own.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any, Self

from sqlalchemy import Engine, delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db import again, control, lease, listing, lookup, memo, rows, schema
from db.engine import connect, reading, shown, writing
from db.errors import NameTaken, ReplayMismatch, StoreError
from db.models import CampaignRow, CandidateRow, SupernetRow, now
from db.progress import progress
from db.proposals import ADVICE, propose
from db.records import (
    Campaign,
    Candidate,
    Command,
    Driver,
    EvaluationKey,
    Gene,
    Lease,
    Outcome,
    Progress,
    Proposal,
    Rank,
    State,
    Status,
    Supernet,
)
from db.results import record
from db.upsert import replacing


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
    """Campaigns, candidates, supernets and the memo of one database; may be shared by threads, not across a fork.

    Made by `open_store`; under a lease, by `fenced`.
    """

    def __init__(self, engine: Engine, lease: Lease | None = None) -> None:
        self._engine = engine
        self._lease = lease
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
        with self._writing() as session:
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
            return rows.campaign(lookup.campaign(session, name))

    def campaigns(self) -> list[Campaign]:
        """All of them, oldest first."""
        with reading(self._engine) as session:
            return [rows.campaign(row) for row in session.scalars(select(CampaignRow).order_by(CampaignRow.id))]

    def set_state(self, name: str, state: State | str, error: str | None = None) -> None:
        """`error` says why, and goes away with the next state that is set without one. What is finished stays so."""
        with self._changing(name) as (_, row):
            if row.state != State.FINISHED:
                row.state, row.error = State(state), error

    def set_config(self, name: str, config: Mapping[str, Any]) -> None:
        """Another config of the campaign, as far as its driver lets one differ."""
        with self._changing(name) as (_, row):
            row.config = dict(config)

    def keep_numerics(self, name: str, numerics: Mapping[str, Any]) -> dict[str, Any]:
        """Store what the first launch chose, and return it; later ones get what is stored, whatever they chose."""
        with self._changing(name) as (_, row):
            row.numerics = dict(numerics) if row.numerics is None else row.numerics
            return dict(row.numerics)

    def begin_search(
        self, name: str, genes: Sequence[Gene], fingerprint: str, split: str, numerics: Mapping[str, Any]
    ) -> None:
        """Store what genomes mean and what evaluations depend on; after the first proposal it can no longer change.

        Raises `ReplayMismatch` if it would.
        """
        came = {"genes": list(genes), "fingerprint": fingerprint, "split": split, "numerics": dict(numerics)}
        with self._changing(name) as (session, row):
            stored = {what: getattr(row, what) for what in came}
            different = [what for what, value in came.items() if stored[what] != value]
            if different and lookup.count(session, row.id):
                came_with = f"began with other {', '.join(different)}"
                raise ReplayMismatch(f"the search of campaign {name!r} {came_with}{ADVICE}")
            for what in different:
                setattr(row, what, came[what])

    def set_report(self, name: str, report: Mapping[str, Any]) -> None:
        """The final summary, and with it the end of the campaign; outlives a power loss once this returns."""
        with self._changing(name, durable=True) as (_, row):
            row.report, row.state, row.error = dict(report), State.FINISHED, None

    def delete(self, name: str, now: datetime, stale_after: timedelta, dead: int | None = None) -> None:
        """Remove a campaign and its candidates; evaluations and supernets stay, for others and for a next one.

        Raises `Held` while somebody runs it (as `acquire`), also the caller: release first.
        """
        with writing(self._engine) as session:
            taken = lease.acquire(session, name, "its deletion", now, stale_after, dead)
            session.execute(delete(CampaignRow).where(CampaignRow.id == lookup.campaign_id(session, name)))
            lease.release(session, taken)

    # Who runs it

    def acquire(self, name: str, holder: str, now: datetime, stale_after: timedelta, dead: int | None = None) -> Lease:
        """The right to run a campaign, as `holder` (for people: "host, process 123"); see `db.lease`.

        Free, or taken over from a holder whose last heartbeat is older than `stale_after`, or whose lease has the token
        `dead`. Raises `Held` with who has it, since when, the last heartbeat and when it may be taken over.
        """
        with writing(self._engine) as session:
            taken = lease.acquire(session, name, holder, now, stale_after, dead)
            lookup.campaign_id(session, name)
            return taken

    def driver(self, name: str) -> Driver | None:
        """Who holds the right to run a campaign, whether or not that process still lives."""
        with reading(self._engine) as session:
            lookup.campaign_id(session, name)
            return lease.driver(session, name)

    def beat(self, held: Lease, now: datetime) -> None:
        """Say that the holder lives, several times in each `stale_after`. Raises `LeaseLost`."""
        with writing(self._engine) as session:
            lease.beat(session, held, now)

    def release(self, held: Lease) -> None:
        """Give the lease back; twice is as good as once, and a lost one changes nothing."""
        with writing(self._engine) as session:
            lease.release(session, held)

    def fenced(self, held: Lease) -> "Store":
        """This store for the holder of a lease: any write through it once the lease is lost raises `LeaseLost`.

        Then nothing is written. It shares this store's connections: closing one closes both.
        """
        return Store(self._engine, held)

    # What was asked of it

    def request(self, name: str, command: Command) -> None:
        """Ask whoever runs the campaign to pause, stop or cancel (see `db.control`); the strongest request stays."""
        with self._writing_to(name) as (session, number):
            control.request(session, number, command)

    def requested(self, name: str) -> Command | None:
        """What was asked and not yet cleared."""
        with reading(self._engine) as session:
            return control.requested(session, lookup.campaign_id(session, name))

    def clear_request(self, name: str, only: Command | None = None) -> None:
        """Take back what was asked; with `only`, unless something stronger was asked meanwhile."""
        with self._writing_to(name) as (session, number):
            control.clear(session, number, only)

    # Supernets

    def supernet(self, recipe: str) -> Supernet | None:
        """The supernet trained from this recipe, if there is one."""
        with reading(self._engine) as session:
            row = session.get(SupernetRow, recipe)
            return rows.supernet(row) if row else None

    def record_supernet(self, supernet: Supernet) -> Supernet:
        """Remember a trained supernet; a later one of the same recipe takes its place."""
        recorded = replace(supernet, created_at=supernet.created_at or now())
        with self._writing() as session:
            connection = session.connection()
            connection.execute(replacing(connection.dialect.name, SupernetRow.__table__, "recipe"), asdict(recorded))
        return recorded

    # The search

    def propose(self, name: str, generation: int, proposals: Sequence[Proposal]) -> None:
        """Record a generation; again with the same proposals changes nothing. Raises `ReplayMismatch` for others."""
        with self._writing_to(name) as (session, number):
            propose(session, number, name, generation, proposals)

    def known(self, name: str, key: EvaluationKey, genomes: Iterable[str]) -> dict[str, Outcome]:
        """What needs no evaluation: what ended here, however, else what any campaign completed under `key`."""
        with reading(self._engine) as session:
            return memo.known(session, lookup.campaign_id(session, name), key, genomes)

    def record(self, name: str, candidate_id: int, key: EvaluationKey, outcome: Outcome) -> Outcome:
        """Write an outcome to the memo and finish its candidate; returns what the candidate ended with.

        The first of each stays, but for a late success (see `db.results`): others change nothing. A completed outcome
        without finite numbers is recorded as a failure.
        """
        if outcome.status == Status.PROPOSED:
            raise ValueError("an outcome is completed, failed or raced")
        with self._writing_to(name) as (session, number):
            return record(session, number, candidate_id, key, outcome)

    def remember(self, key: EvaluationKey, genome: str, outcome: Outcome) -> Outcome:
        """Write what no candidate asked for to the memo; returns the first completed outcome of its key, or this."""
        with self._writing() as session:
            return memo.remember(session, key, genome, memo.sound(outcome))

    def score_float32(self, name: str, candidate_id: int, accuracy: float, loss: float) -> None:
        """Add a finalist's scores in float32."""
        with self._writing_to(name) as (session, number):
            row = lookup.candidate(session, number, candidate_id)
            row.accuracy_float32, row.loss_float32 = accuracy, loss

    def retry(self, name: str) -> int:
        """Put failed candidates back to `proposed` and forget their failures; returns how many.

        What completed stays. A campaign whose later generations were proposed from what failed does not replay once a
        retried candidate succeeds: `rewind` it to the first generation that failed.
        """
        with self._writing_to(name) as (session, number):
            return again.retry(session, number)

    def rewind(self, name: str, generation: int) -> int:
        """Remove the candidates of all generations after this one, to be proposed afresh; returns how many.

        Their evaluations stay in the memo, so that a replay pays only for genomes it never met or raced.
        """
        with self._writing_to(name) as (session, number):
            return again.rewind(session, number, generation)

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
            return listing.candidates(session, lookup.campaign(session, name), where, order_by, front, limit)

    def candidate(self, name: str, candidate_id: int) -> Candidate:
        """Raises `NotFound` with the range of ids there are."""
        with reading(self._engine) as session:
            row = lookup.candidate(session, lookup.campaign_id(session, name), candidate_id)
            same = CandidateRow.campaign_id == row.campaign_id, CandidateRow.number == row.number
            return rows.candidate(session.execute(select(*rows.CANDIDATE).where(*same)).one())

    def progress(self, name: str, by: Rank = "accuracy") -> Progress:
        """How many candidates there are of each status, how far the search is, and the best so far."""
        with reading(self._engine) as session:
            return progress(session, lookup.campaign_id(session, name), by)

    def remembered(self, fingerprint: str, split: str, numerics: str) -> list[tuple[str, Outcome]]:
        """Every completed evaluation under this key, whoever paid for it, as (genome, outcome), oldest first.

        So a search that may score nothing more still has a front: of these, once their parameters are counted.
        """
        with reading(self._engine) as session:
            return memo.remembered(session, EvaluationKey(fingerprint, split, numerics))

    # How every write begins

    @contextmanager
    def _writing(self, durable: bool = False) -> Iterator[Session]:
        """A write transaction, which a store under a lease begins by checking it. Raises `LeaseLost`."""
        with writing(self._engine, durable) as session:
            self._fence(session)
            yield session

    def _fence(self, session: Session) -> None:
        if self._lease is not None:
            lease.fence(session, self._lease)

    @contextmanager
    def _writing_to(self, name: str, durable: bool = False) -> Iterator[tuple[Session, int]]:
        """The same for a campaign, with its number in the database. Raises `NotFound`."""
        with writing(self._engine, durable) as session:
            number = None if self._lease is None else lease.own(session, self._lease, name)
            if number is None:
                self._fence(session)
                number = lookup.campaign_id(session, name, to_write=True)
            yield session, number

    @contextmanager
    def _changing(self, name: str, durable: bool = False) -> Iterator[tuple[Session, CampaignRow]]:
        """The same with its row."""
        with self._writing_to(name, durable) as (session, number):
            yield session, session.get_one(CampaignRow, number)
