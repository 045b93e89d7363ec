"""A generation's race: who is handed out when, and against whom, so that neither depends on who arrives first.

A generation is cut into rounds of so many proposals. The candidates of round k race against the places as they stand
once every proposal up to round k - 2 has its outcome, and none is handed out before. The round between keeps the
workers busy meanwhile. So places tighten within a generation, in an order that only the proposals decide.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from db.records import Outcome, Proposal, Status
from glora_search import selection
from glora_search.racing import Point, Rule, hardest_first
from glora_search.selection import Scored
from glora_search.settings import SearchSettings


@dataclass(frozen=True)
class Known:
    """A candidate whose evaluation is complete."""

    scored: Scored
    correct: bytes | None  # one bit an example, numpy.packbits order


@dataclass(frozen=True)
class Racing:
    """What all races of a search have in common."""

    settings: SearchSettings
    examples: int  # of the split
    round: int  # proposals


class Race:
    """One generation's; `outcomes` grows while it is run."""

    def __init__(
        self,
        racing: Racing | None,
        proposals: Sequence[Proposal],
        outcomes: Mapping[int, Outcome],
        survivors: Sequence[Scored],
        complete: Sequence[Known],
    ) -> None:
        """`survivors` and `complete` are those of the generations before."""
        self.racing = racing if racing and racing.settings.racing else None
        self.proposals, self.outcomes, self.survivors, self.complete = proposals, outcomes, survivors, complete
        self._place = {proposal.id: place for place, proposal in enumerate(proposals)}
        self._rules: dict[int, Rule | None] = {}  # round -> its rule

    def genomes(self, todo: Iterable[Proposal]) -> Iterator[str | None]:
        """For an evaluator; None as long as the next one's places do not stand yet."""
        for proposal in todo:
            while not self._stands(proposal):
                yield None
            yield proposal.genome

    def rule(self, proposal: Proposal) -> Rule | None:
        """The rule that a proposal races under."""
        if self.racing is None:
            return None
        if (number := self._round(proposal)) not in self._rules:
            self._rules[number] = self._threshold(self.racing, self._before(number))
        return self._rules[number]

    def _threshold(self, racing: Racing, before: Sequence[Proposal]) -> Rule | None:
        new = completed(before, self.outcomes)
        pool = [*self.survivors, *(each.scored for each in new)]
        return threshold(racing.settings, pool, [*self.complete, *new], racing.examples)

    def _stands(self, proposal: Proposal) -> bool:
        if self.racing is None:
            return True
        return all(each.id in self.outcomes for each in self._before(self._round(proposal)))

    def _round(self, proposal: Proposal) -> int:
        assert self.racing is not None, "without racing there are no rounds"
        return self._place[proposal.id] // self.racing.round

    def _before(self, number: int) -> Sequence[Proposal]:
        """The proposals of the rounds up to `number` - 2."""
        assert self.racing is not None, "without racing there are no rounds"
        return self.proposals[: max(0, number - 1) * self.racing.round]


def threshold(settings: SearchSettings, pool: Sequence[Scored], known: Sequence[Known], examples: int) -> Rule | None:
    """The racing rule, or None while it could drop nobody. `pool` is nsga2's selection pool as far as it is known."""
    nsga2 = settings.algorithm == "nsga2"
    places = settings.finalists if nsga2 else max(settings.parents, settings.finalists)
    if len(known) < places or (nsga2 and len(pool) < settings.population):
        return None
    everyone = [each.scored for each in known]
    last = selection.best(everyone, places)[-1]
    return Rule(
        order=hardest_first([each.correct for each in known], examples),
        last=(last.accuracy, -last.loss),
        front=_points(selection.front(everyone)),
        pool=_points(pool) if nsga2 else (),
        places=settings.population if nsga2 else 0,
    )


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
