"""Who survives, with DEAP. Failures never reach it: a NaN objective would dominate the best candidate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deap import base, tools

from db.records import Proposal
from glora_search.ranking import Rank, key


@dataclass(frozen=True)
class Scored:
    """A candidate with finite figures."""

    proposal: Proposal
    accuracy: float  # top-1 on the validation split, in [0, 1]
    loss: float  # mean cross-entropy, in nats


class _ByKey(base.Fitness):  # type: ignore[misc]
    """The rank's key, then the earlier proposal: a total order, so that ties never depend on arrival."""

    weights = (1.0, 1.0, -1.0)


class _ByErrorAndParameters(base.Fitness):  # type: ignore[misc]
    weights = (-1.0, -1.0)


class _Individual:
    def __init__(self, scored: Scored, fitness: base.Fitness, values: tuple[float, ...]) -> None:
        self.scored, self.fitness = scored, fitness
        fitness.values = values


def best(candidates: Sequence[Scored], count: int, rank: Rank) -> list[Scored]:
    """The `count` best, best first, by (key, proposal number)."""
    keys = ((c, key(rank, c.accuracy, c.loss)) for c in _in_order(candidates))
    individuals = [_Individual(c, _ByKey(), (*found, c.proposal.id)) for c, found in keys]
    return [individual.scored for individual in tools.selBest(individuals, count)]


def nsga2(candidates: Sequence[Scored], count: int) -> list[Scored]:
    """The `count` survivors over (error, parameters): whole fronts, then the least crowded. Best front first."""
    selected = tools.selNSGA2(_two_objectives(candidates), min(count, len(candidates)), nd="log")
    return [individual.scored for individual in selected]


def front(candidates: Sequence[Scored]) -> list[Scored]:
    """The candidates that none other beats in both error and parameters, fewest parameters first."""
    if not candidates:
        return []
    individuals = _two_objectives(candidates)
    first = tools.sortLogNondominated(individuals, len(individuals), first_front_only=True)
    return sorted((i.scored for i in first), key=lambda c: (c.proposal.params, c.proposal.id))


def _two_objectives(candidates: Sequence[Scored]) -> list[_Individual]:
    return [
        _Individual(c, _ByErrorAndParameters(), (1 - c.accuracy, float(c.proposal.params)))
        for c in _in_order(candidates)
    ]


def _in_order(candidates: Sequence[Scored]) -> list[Scored]:
    return sorted(candidates, key=lambda c: c.proposal.id)
