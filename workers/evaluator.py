"""The evaluator port: genomes in, what was measured of each out, in any order. Imports no ray."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from supernet.evaluation import Hopeless, NotFinite, Scorer


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


class Evaluator(Protocol):
    """In process and on Ray; one contract suite holds for both."""

    def evaluate(self, genomes: Iterable[str], hopeless: Hopeless | None = None) -> Iterator[tuple[int, Outcome]]:
        """(index into genomes, outcome), each index once, in any order. `hopeless` is a value that travels.

        A genome is taken from the iterable only when a worker is free for it, so its end may be decided meanwhile.
        """


def evaluate_one(scorer: Scorer, genome: str, hopeless: Hopeless | None, worker: str) -> Outcome:
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
    parameters = scorer.supernet.space.parameters(genome)
    return Evaluation(found.accuracy, found.loss, parameters, found.correct, seconds, worker)
