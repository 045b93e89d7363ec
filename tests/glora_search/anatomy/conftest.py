"""Campaigns as the store would hold them, made of what `evolve` proposes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from db.records import Candidate, Gene, Proposal, Status
from glora_search.anatomy.survivors import Survivors, ranked
from glora_search.evolution import Evaluate, Generation, evolve
from glora_search.selection import Scored, front
from glora_search.settings import SearchSettings
from supernet.space import Space
from supernet.spaces import alphabets

Judge = Callable[[dict[str, str]], float]  # forms -> accuracy


def genes_of(space: Space) -> tuple[Gene, ...]:
    return tuple(Gene(name=name, alphabet=alphabet) for name, alphabet in alphabets(space))


def candidate(proposal: Proposal, generation: int, scored: Scored | None) -> Candidate:
    figures = (None, None) if scored is None else (scored.accuracy, scored.loss)
    status = Status.FAILED if scored is None else Status.COMPLETED
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    return Candidate(
        proposal.id, proposal.genome, generation, proposal.operator, proposal.parents, proposal.params, status,
        *figures, 0.1, "w", None, None, None, None, None, moment, moment,
    )  # fmt: skip


def kept(generations: Sequence[Generation]) -> list[Candidate]:
    """Every proposal as the store's candidate."""
    found = []
    for each in generations:
        scored = {one.proposal.id: one for one in each.scored}
        found += [candidate(proposal, each.number, scored.get(proposal.id)) for proposal in each.proposals]
    return found


@pytest.fixture(scope="session")
def judged() -> Callable[[Space, Judge], Evaluate]:
    def judged(space: Space, judge: Judge) -> Evaluate:
        """An `evaluate` for `evolve`, of accuracies that a function of the forms decides."""

        def evaluate(generation: int, proposals: Sequence[Proposal], survivors: Sequence[Scored]) -> list[Scored]:
            return [Scored(each, judge(space.decode(each.genome)), 1.0) for each in proposals]

        return evaluate

    return judged


@pytest.fixture(scope="session")
def survived() -> Callable[..., Survivors]:
    def survived(space: Space, evaluate: Evaluate, top: int = 10, seed: int = 0, **settings: Any) -> Survivors:
        """What a search found, as `explain` sees it."""
        generations = list(evolve(space, SearchSettings(**{"rank": "accuracy", **settings}), seed, evaluate))
        candidates = kept(generations)
        best = ranked([each for each in candidates if each.status == Status.COMPLETED])[:top]
        on_front = {each.proposal.id for each in front([one for each in generations for one in each.scored])}
        return Survivors(
            "test", genes_of(space), tuple(candidates), tuple(best),
            tuple(each for each in candidates if each.id in on_front),
        )  # fmt: skip

    return survived


@pytest.fixture(scope="session")
def survivors_of() -> Callable[..., Survivors]:
    def survivors_of(space: Space, genomes: Sequence[str], operator: str, top: int = 10) -> Survivors:
        """Candidates without parents, of which the first are the best."""
        proposals = [Proposal(n, genome, operator, (), space.parameters(genome)) for n, genome in enumerate(genomes)]
        candidates = tuple(candidate(each, 0, Scored(each, 0.5, 1.0 + each.id)) for each in proposals)
        return Survivors("test", genes_of(space), candidates, candidates[:top], candidates[:1])

    return survivors_of
