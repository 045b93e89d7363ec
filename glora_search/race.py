"""A generation's race: who is handed out when, and against whom, so that neither depends on who arrives first.

A candidate races against the places as every proposal before it leaves them, but for the last few, the lag, and is not
handed out before those have their outcomes. The lag keeps the workers busy meanwhile. So places tighten from candidate
to candidate, in an order that only the proposals decide. The order of the examples is decided before a generation
(difficulty.py); in the first one, of which no candidate is known then, by how often each was wrong so far.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from db.records import Outcome, Proposal, Status
from glora_search import selection
from glora_search.difficulty import MOST
from glora_search.racing import Point, Rule, dominates, hardest_first, mistakes
from glora_search.ranking import key
from glora_search.selection import Scored
from glora_search.settings import SearchSettings, raced_for


@dataclass(frozen=True)
class Racing:
    """What all races of a search have in common."""

    settings: SearchSettings
    examples: int  # of the split
    lag: int  # proposals just before a candidate that its race does not know
    spared: str | None = None  # a genome that is always evaluated in full: the method, which may yet be chosen

    @property
    def by_losses(self) -> bool:
        """Whether the best candidates' losses order the examples (difficulty.py)."""
        return self.examples <= MOST

    @property
    def places(self) -> int:
        """In the order of keys."""
        return raced_for(self.settings)


@dataclass(frozen=True)
class Known:
    """A candidate whose evaluation is complete."""

    scored: Scored
    correct: bytes | None  # one bit an example, numpy.packbits order


@dataclass(frozen=True)
class Standing:
    """Of everything that completed, what a race needs: who leads, and how often each example was wrong."""

    racing: Racing
    best: tuple[Scored, ...] = ()  # as many as there are places
    front: tuple[Scored, ...] = ()
    wrong: np.ndarray | None = field(default=None, compare=False)  # (examples,) int, or None while nobody is known

    def joined(self, new: Sequence[Known]) -> Standing:
        """With candidates that were not in it."""
        if not new:
            return self
        scored, examples = [each.scored for each in new], self.racing.examples
        wrong = mistakes([each.correct for each in new if each.correct is not None], examples)
        return Standing(
            racing=self.racing,
            best=self._best_with([each for each in scored if self._takes_a_place(each)]),
            front=self._front_with([each for each in scored if not self._is_dominated(each)]),
            wrong=wrong if self.wrong is None else wrong + self.wrong,
        )

    def _best_with(self, new: Sequence[Scored]) -> tuple[Scored, ...]:
        rank, places = self.racing.settings.rank, self.racing.places
        return tuple(selection.best([*self.best, *new], places, rank)) if new else self.best

    def _front_with(self, new: Sequence[Scored]) -> tuple[Scored, ...]:
        return tuple(selection.front([*self.front, *new])) if new else self.front

    def _takes_a_place(self, new: Scored) -> bool:
        """Whether it may: most do not, which is soon seen."""
        rank, last = self.racing.settings.rank, self.best[-1] if len(self.best) == self.racing.places else None
        return last is None or key(rank, new.accuracy, new.loss) >= key(rank, last.accuracy, last.loss)

    def _is_dominated(self, new: Scored) -> bool:
        return any(dominates(known, point) for point in _points([new]) for known in _points(self.front))

    def rule(self, pool: Sequence[Scored], order: np.ndarray | None = None) -> Rule | None:
        """The racing rule, or None while it could drop nobody. `pool` is nsga2's selection pool so far.

        Without an `order` of the examples, those come first that were wrong most often.
        """
        racing, settings = self.racing, self.racing.settings
        nsga2 = settings.algorithm == "nsga2"
        places = settings.population if nsga2 else 0
        if self.wrong is None or len(self.best) < racing.places or len(pool) < places:
            return None
        return Rule(
            order=hardest_first(self.wrong) if order is None else order,
            rank=settings.rank,
            last=key(settings.rank, self.best[-1].accuracy, self.best[-1].loss),
            front=_points(self.front),
            pool=_points(pool) if nsga2 else (),
            places=places,
        )


class Race:
    """One generation's; `outcomes` grows while it is run."""

    def __init__(
        self,
        standing: Standing | None,
        proposals: Sequence[Proposal],
        outcomes: Mapping[int, Outcome],
        survivors: Sequence[Scored],
        order: np.ndarray | None = None,
    ) -> None:
        """`survivors` and `standing` are those of the generations before; without standing nobody is raced."""
        self.standing, self._known = standing, 0  # proposals of this generation that it knows
        self.order = order  # (n,) of the examples, for the whole generation
        self.proposals, self.outcomes, self.pool = proposals, outcomes, list(survivors)
        self._place = {proposal.id: place for place, proposal in enumerate(proposals)}
        self._rule: Rule | None = None  # the last one
        self._ruled = -1  # proposals that it knows

    def genomes(self, todo: Iterable[Proposal]) -> Iterator[str | None]:
        """For an evaluator; None as long as the next one's places do not stand yet."""
        for proposal in todo:
            while not self._stands(proposal):
                yield None
            yield proposal.genome

    def rule(self, proposal: Proposal) -> Rule | None:
        """The rule that a proposal races under, if any; asked in the order in which they are handed out."""
        if self.standing is None or proposal.genome == self.standing.racing.spared:
            return None
        before = self._before(self.standing, proposal)
        if before != self._ruled:
            new = completed(self.proposals[self._known : before], self.outcomes)
            self.pool += [each.scored for each in new]
            self.standing, self._known = self.standing.joined(new), before
            self._rule, self._ruled = self.standing.rule(self.pool, self.order), before
        return self._rule

    def _stands(self, proposal: Proposal) -> bool:
        """Whether all that its rule knows have their outcomes; what an earlier rule knows has."""
        if self.standing is None:
            return True
        before = self._before(self.standing, proposal)
        return all(each.id in self.outcomes for each in self.proposals[self._known : before])

    def _before(self, standing: Standing, proposal: Proposal) -> int:
        """How many proposals its rule knows."""
        return max(0, self._place[proposal.id] - standing.racing.lag)


def completed(proposals: Sequence[Proposal], outcomes: Mapping[int, Outcome]) -> list[Known]:
    """Those whose evaluation is complete, in the order of proposals."""
    found = ((scored(each, outcomes[each.id]), outcomes[each.id].correct) for each in proposals)
    return [Known(figures, correct) for figures, correct in found if figures is not None]


def scored(proposal: Proposal, outcome: Outcome) -> Scored | None:
    """What selection may see: nothing of a failure, nor of what was raced."""
    if outcome.status != Status.COMPLETED:
        return None
    assert outcome.accuracy is not None, "a completed outcome has figures"
    assert outcome.loss is not None, "a completed outcome has figures"
    return Scored(proposal, outcome.accuracy, outcome.loss)


def _points(candidates: Sequence[Scored]) -> tuple[Point, ...]:
    return tuple((each.accuracy, each.proposal.params) for each in candidates)
