"""The evaluator port: genomes in, what was measured of each out, in any order. Imports no ray."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from supernet.evaluation import Hopeless, Measurement, NotFinite
from supernet.numerics import Numerics


@dataclass(frozen=True)
class Evaluation:
    """A subnet's whole result on the split."""

    accuracy: float  # top-1, in [0, 1]
    loss: float  # mean cross-entropy, in nats
    parameters: int  # trainable, the head not counted
    correct: bytes  # one bit an example, numpy.packbits order
    seconds: float  # merge and forward
    worker: str


@dataclass(frozen=True)
class Failure:
    """A candidate that could not be scored: data, not the end of a campaign."""

    kind: str  # `not finite`, `timeout`, `worker died`, or the exception's name
    message: str  # the traceback, or what is known
    seconds: float
    worker: str


@dataclass(frozen=True)
class Raced:
    """A candidate that the racing rule dropped after `seen` examples."""

    seen: int  # examples
    total: int  # examples of the split
    correct: int
    loss: int  # summed so far, in units of supernet.evaluation.QUANTUM
    seconds: float
    worker: str


Outcome = Evaluation | Failure | Raced


class Scoring(Protocol):
    """What a worker holds: `supernet.evaluation.Scorer`, or a stand-in that comes to harm on purpose."""

    def score(self, genome: str, hopeless: Hopeless | None = None) -> Measurement:
        """The subnet's result, up to where the racing rule drops it."""

    def parameters(self, genome: str) -> int:
        """Trainable, the head not counted."""


class Scorable(Protocol):
    """A value that travels and becomes a scorer where it is sent: `supernet.evaluation.ScoringTask`."""

    @property
    def numerics(self) -> Numerics:
        """What its numbers depend on; a worker that cannot provide them refuses the task."""

    def scorer(self) -> Scoring:
        """Built once a worker."""


class Evaluator(Protocol):
    """In process and on Ray; one contract suite holds for both."""

    def evaluate(self, genomes: Iterable[str], hopeless: Hopeless | None = None) -> Iterator[tuple[int, Outcome]]:
        """(index into genomes, outcome), each index once, in any order. `hopeless` is a value that travels.

        A genome is taken from the iterable only when a worker is free for it, so its end may be decided meanwhile.
        """


def evaluate_one(scorer: Scoring, genome: str, hopeless: Hopeless | None, worker: str) -> Outcome:
    """Score a genome; whatever goes wrong becomes a Failure."""
    begin = time.perf_counter()
    try:
        found = scorer.score(genome, hopeless)
    except NotFinite as error:
        return Failure("not finite", str(error), time.perf_counter() - begin, worker)
    except Exception as error:
        return Failure(type(error).__name__, traceback.format_exc(), time.perf_counter() - begin, worker)
    seconds = time.perf_counter() - begin
    partial = found.partial
    if not found.complete:
        return Raced(partial.seen, partial.total, partial.correct, partial.loss, seconds, worker)
    return Evaluation(found.accuracy, found.loss, scorer.parameters(genome), found.correct, seconds, worker)
