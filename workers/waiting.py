"""Candidates on their way: what a worker is given, and what none has yet. Imports no ray."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count

from supernet.evaluation import Hopeless
from workers.evaluator import Rules, unraced


@dataclass(frozen=True)
class Candidate:
    """A genome on its way through the evaluator."""

    index: int  # into the genomes asked for
    genome: str
    hopeless: Hopeless | None = None  # the racing rule, the same however often it is tried
    alone: bool = False  # a worker died while it was there: nothing lies ready behind it or before it any more


class Waiting:
    """Candidates that no worker has: those that came back first, then new ones, each taken when a worker is free."""

    def __init__(self, genomes: Iterable[str | None], hopeless: Rules = unraced) -> None:
        self._back: deque[Candidate] = deque()
        self._new, self._index, self._hopeless = iter(genomes), count(), hopeless
        self._exhausted = False

    def __bool__(self) -> bool:
        """Whether there may be another."""
        return bool(self._back) or not self._exhausted

    def take(self, ahead: bool = False) -> Candidate | None:
        """The next one, if it is known yet; to lie ready behind another, the next that may."""
        for candidate in self._back:
            if not (ahead and candidate.alone):
                self._back.remove(candidate)
                return candidate
        for genome in self._new:
            if genome is None:
                return None
            index = next(self._index)
            return Candidate(index, genome, self._hopeless(index))
        self._exhausted = True
        return None

    def put_back(self, candidates: Iterable[Candidate]) -> None:
        """They go first, in their order."""
        self._back.extendleft(reversed(list(candidates)))
