"""The evaluator port: genomes in, what was measured of each out, in any order. Imports no ray."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import isfinite
from typing import Protocol

from supernet.evaluation import Hopeless, Measurement, NotFinite
from supernet.memory import free, is_out_of_memory
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
    chunk: int | None = None  # examples at a time, where memory was too small for the campaign's numerics
    losses: bytes | None = None  # where the task asks for them: (n,) int64 in units of supernet.evaluation.QUANTUM


@dataclass(frozen=True)
class Failure:
    """A candidate that could not be scored: data, not the end of a campaign."""

    kind: str  # `not finite`, `impossible`, `out of memory`, `timeout`, `worker died`, or the exception's name
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

    @property
    def numerics(self) -> Numerics:
        """The campaign's."""

    def check(self) -> None:
        """Raises BadInput if it computes wrongly; called once, before any candidate."""

    def score(self, genome: str, hopeless: Hopeless | None = None, chunk: int | None = None) -> Measurement:
        """The subnet's result, up to where the racing rule drops it; `chunk` examples at a time, if not numerics.chunk.

        The rule is asked after numerics.chunk examples, twice as many and so on, whatever the chunk.
        """

    def parameters(self, genome: str) -> int:
        """Trainable, the head not counted."""


class Scorable(Protocol):
    """A value that travels and becomes a scorer where it is sent: `supernet.evaluation.ScoringTask`."""

    @property
    def numerics(self) -> Numerics:
        """What its numbers depend on; a worker that cannot provide them refuses the task."""

    def scorer(self) -> Scoring:
        """Built once a worker."""


Rules = Callable[[int], Hopeless | None]  # index -> the racing rule of that genome, a value that travels with it


def unraced(index: int) -> Hopeless | None:
    """No candidate is dropped."""
    return None


class Evaluator(Protocol):
    """In process and on Ray; one contract suite holds for both."""

    def evaluate(self, genomes: Iterable[str | None], hopeless: Rules = unraced) -> Iterator[tuple[int, Outcome]]:
        """(index into genomes, outcome), each index once, in any order.

        A genome is taken from the iterable only when a worker is free for it or has none ahead, so the iterable's end
        may be decided meanwhile. None is no genome and counts as no index: the next one is not known yet, and there
        will be another outcome first. `hopeless` is asked once for each genome, when it is taken.
        """


def evaluate_one(scorer: Scoring, genome: str, hopeless: Hopeless | None, worker: str) -> Outcome:
    """Score a genome; whatever goes wrong becomes a Failure."""
    begin = time.perf_counter()
    try:
        found, chunk = _fitting(scorer, genome, hopeless)
        parameters, flaw = scorer.parameters(genome), _flaw(found)
    except NotFinite as error:
        return Failure("not finite", str(error), time.perf_counter() - begin, worker)
    except Exception as error:
        kind = "out of memory" if is_out_of_memory(error) else type(error).__name__
        return Failure(kind, traceback.format_exc(), time.perf_counter() - begin, worker)
    seconds = time.perf_counter() - begin
    if flaw is not None:
        return Failure(flaw, f"accuracy {found.accuracy}, loss {found.loss}", seconds, worker)
    partial = found.partial
    if not found.complete:
        return Raced(partial.seen, partial.total, partial.correct, partial.loss, seconds, worker)
    return Evaluation(found.accuracy, found.loss, parameters, found.correct, seconds, worker, chunk, found.losses)


def _fitting(scorer: Scoring, genome: str, hopeless: Hopeless | None) -> tuple[Measurement, int | None]:
    """(result, examples at a time if fewer than the campaign's): half as many whenever memory runs out, down to one."""
    chunk: int | None = None
    while True:
        try:
            return scorer.score(genome, hopeless, chunk), chunk
        except Exception as error:
            half = (chunk or scorer.numerics.chunk) // 2
            if half == 0 or not is_out_of_memory(error):
                raise
        free()  # out of the handler: the error's traceback held the tensors
        chunk = half


def _flaw(found: Measurement) -> str | None:
    """The kind of failure, where the figures are none."""
    if not (isfinite(found.accuracy) and isfinite(found.loss)):
        return "not finite"
    return None if 0 <= found.accuracy <= 1 and found.loss >= 0 else "impossible"
