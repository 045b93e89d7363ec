"""The values that go into the store and come back: frozen, free of any session, free of SQLAlchemy."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any, Literal, TypedDict


class State(StrEnum):
    """Of a campaign. Law: `created -> training -> searching -> reporting -> finished` in this order; from each of the
    first four it may go to `paused`, `failed` or `cancelled`; on resume `paused` and `failed` go back there."""

    CREATED = "created"
    TRAINING = "training"
    SEARCHING = "searching"
    REPORTING = "reporting"
    FINISHED = "finished"
    PAUSED = "paused"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Status(StrEnum):
    """Of a candidate. Law: `proposed` once, then exactly one of the others, for ever, but that `retry` puts what failed
    back to `proposed`, and that a late success takes a failure's place while no later generation is proposed (see
    `db.results`); only `completed` surely has a finite accuracy and loss, only `raced` has a bound, and only `failed`
    has an error."""

    PROPOSED = "proposed"
    COMPLETED = "completed"
    FAILED = "failed"
    RACED = "raced"


Rank = Literal["accuracy", "loss"]  # what makes a candidate better
Command = Literal["pause", "stop", "cancel"]  # of a person to a running campaign; what each asks for: db/control.py


class Gene(TypedDict):
    """One decision: its name (`blocks.0.attn.qkv.A`) and what each character of a genome means there."""

    name: str
    alphabet: dict[str, str]  # character -> form


@dataclass(frozen=True)
class Campaign:
    id: int
    name: str
    state: State
    config: Mapping[str, Any]  # resolved settings
    seed: int
    genes: tuple[Gene, ...] | None  # in a genome's order; None until the search begins, as the next three
    fingerprint: str | None  # names the frozen supernet
    split: str | None  # hash of the validation split's contents
    numerics: Mapping[str, Any] | None
    report: Mapping[str, Any] | None  # the final summary
    error: str | None
    created_at: datetime  # UTC, as every time here
    updated_at: datetime

    @property
    def rank(self) -> Rank:
        """What makes its candidates better; the higher accuracy before that could be said."""
        rank: Rank = self.config.get("search", {}).get("rank", "accuracy")
        return rank


@dataclass(frozen=True)
class Lease:
    """The right to write a campaign's results. Law: of all leases ever given for a name only the one with the highest
    token is good, and only until it is released."""

    name: str  # of the campaign
    token: int  # from 1, one more with every lease of that name, also after the campaign was deleted
    holder: str  # for people, as in "host, process 123"


@dataclass(frozen=True)
class Driver:
    """Who holds a lease."""

    holder: str
    since: datetime
    heartbeat: datetime  # the last


@dataclass(frozen=True)
class Supernet:
    recipe: str  # names what it was trained from
    fingerprint: str  # names what was trained
    path: str
    trained_parameters: int
    seconds: float  # of training
    created_at: datetime | None = None  # set by the store


@dataclass(frozen=True)
class Proposal:
    id: int  # number in the campaign, from 0, dense
    genome: str  # one character per gene
    operator: str  # random, crossover, mutation, enumerated, fixed, ...
    parents: tuple[int, ...]  # ids
    params: int  # trained entries


@dataclass(frozen=True)
class Outcome:
    status: Status  # not `proposed`
    accuracy: float | None = None  # top-1, in [0, 1]
    loss: float | None = None  # mean over examples
    seconds: float | None = None  # of evaluation
    worker: str | None = None
    correct: bytes | None = None  # a bit per example
    error: str | None = None
    bound: float | None = None  # of a raced candidate: the best accuracy it could still have reached
    seen: int | None = None  # and the examples it was evaluated on


@dataclass(frozen=True)
class EvaluationKey:
    """What an evaluation depends on besides its genome."""

    fingerprint: str
    split: str
    numerics: str  # canonical text

    def digest(self, genome: str) -> str:
        """SHA-256 (hex) of the key and a genome: the name of one evaluation, whoever asks for it."""
        parts = (self.fingerprint, self.split, self.numerics, genome)
        return sha256("".join(f"{len(part)}:{part}" for part in parts).encode()).hexdigest()


@dataclass(frozen=True)
class Candidate:
    id: int  # proposal number in the campaign
    genome: str
    generation: int
    operator: str
    parents: tuple[int, ...]
    params: int
    status: Status
    accuracy: float | None
    loss: float | None
    seconds: float | None
    worker: str | None
    error: str | None
    bound: float | None  # of a raced candidate, as the next: see Outcome
    seen: int | None
    accuracy_float32: float | None  # of finalists only, as the next
    loss_float32: float | None
    created_at: datetime
    finished_at: datetime | None

    def as_dict(self) -> dict[str, Any]:
        """The fields in order as plain JSON values; times are ISO 8601 in UTC."""
        plain = asdict(self)
        times = {name: value.isoformat() for name, value in plain.items() if isinstance(value, datetime)}
        return plain | times | {"status": str(self.status), "parents": list(self.parents)}


@dataclass(frozen=True)
class Progress:
    proposed: int  # waiting for an outcome
    completed: int
    failed: int
    raced: int
    generation: int | None  # the latest proposed; None before the first
    best: Candidate | None  # of what is completed
