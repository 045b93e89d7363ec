"""A generation's race: who is handed out when, and against whom, so that neither depends on who arrives first.

A generation is cut into rounds of so many proposals. The candidates of round k race against the places as they stand
once every proposal up to round k - 2 has its outcome, and none is handed out before. The round between keeps the
workers busy meanwhile. So places tighten within a generation, in an order that only the proposals decide.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from db.records import Outcome, Proposal, Status
from glora_search import selection
from glora_search.racing import Point, Rule, hardest_first, mistakes
from glora_search.ranking import key
from glora_search.selection import Scored
from glora_search.settings import SearchSettings, raced_for


@dataclass(frozen=True)
class Racing:
    """What all races of a search have in common."""

    settings: SearchSettings
    examples: int  # of the split
    round: int  # proposals
    spared: str | None = None  # a genome that is always evaluated in full: the method, which may yet be chosen

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
    wrong: tuple[int, ...] = ()  # (examples,), or empty while nobody is known

    def joined(self, new: Sequence[Known]) -> Standing:
        """With candidates that were not in it."""
        if not new:
            return self
        scored, examples = [each.scored for each in new], self.racing.examples
        wrong = mistakes([each.correct for each in new if each.correct is not None], examples)
        return Standing(
            racing=self.racing,
            best=tuple(selection.best([*self.best, *scored], self.racing.places, self.racing.settings.rank)),
            front=tuple(selection.front([*self.front, *scored])),
            wrong=tuple(wrong + (self.wrong or 0)),
        )

    def rule(self, pool: Sequence[Scored]) -> Rule | None:
        """The racing rule, or None while it could drop nobody. `pool` is nsga2's selection pool so far."""
        racing, settings = self.racing, self.racing.settings
        nsga2 = settings.algorithm == "nsga2"
        places = settings.population if nsga2 else 0
        if len(self.best) < racing.places or len(pool) < places:
            return None
        return Rule(
            order=hardest_first(np.array(self.wrong)),
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
    ) -> None:
        """`survivors` and `standing` are those of the generations before; without standing nobody is raced."""
        self.standing, self._known = standing, 0  # proposals of this generation that it knows
        self.proposals, self.outcomes, self.pool = proposals, outcomes, list(survivors)
        self._place = {proposal.id: place for place, proposal in enumerate(proposals)}
        self._rules: dict[int, Rule | None] = {}  # proposals that a rule knows -> rule

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
        if before not in self._rules:
            new = completed(self.proposals[self._known : before], self.outcomes)
            self.pool += [each.scored for each in new]
            self.standing, self._known = self.standing.joined(new), before
            self._rules[before] = self.standing.rule(self.pool)
        return self._rules[before]

    def _stands(self, proposal: Proposal) -> bool:
        """Whether all that its rule knows have their outcomes; what an earlier rule knows has."""
        if self.standing is None:
            return True
        before = self._before(self.standing, proposal)
        return all(each.id in self.outcomes for each in self.proposals[self._known : before])

    def _before(self, standing: Standing, proposal: Proposal) -> int:
        """How many proposals its rule knows: those of the rounds up to the one before the last."""
        size = standing.racing.round
        return max(0, self._place[proposal.id] // size - 1) * size


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
