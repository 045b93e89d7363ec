"""The search loop. It reaches the world through one argument, `evaluate`, and yields generations.

    generation 0       what is known already, if the search starts from that, else `population` draws under the limit
    generation n > 0   `crossover` + `mutation` children of the survivors; what is short is filled with draws

No genome is proposed twice. Generation n draws from (seed, n) alone, so running the loop again with the same answers
proposes the same candidates: resume is replay. A space with no more feasible genomes than the population is enumerated.
Source: GLoRA (arXiv 2306.07967) section 3.4 and Arnav0400/ViT-Slim at 0fed674 (its last generation, which it never
ranks, is ranked here); NSGA-II: Deb et al. 2002.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from db.records import Proposal
from glora_search import selection
from glora_search.selection import Scored
from glora_search.settings import SearchSettings
from glora_search.variation import crossover, mutate, pair
from supernet.randomness import stream
from supernet.space import Space

TRIES = 10  # draws for each child before a shortfall is filled in another way

# (generation, proposals, survivors so far) -> the figures of each proposal, in order; None if it failed or was raced
Evaluate = Callable[[int, Sequence[Proposal], Sequence[Scored]], Sequence[Scored | None]]


@dataclass(frozen=True)
class Generation:
    """One turn of the loop."""

    number: int
    proposals: tuple[Proposal, ...]
    scored: tuple[Scored, ...]  # its candidates that have figures
    survivors: tuple[Scored, ...]  # of the whole search so far, best first


def evolve(
    space: Space, settings: SearchSettings, seed: int, evaluate: Evaluate, start: Sequence[str] = ()
) -> Iterator[Generation]:
    """Yields generations 0 .. settings.generations, fewer if the space or the budget runs out. Raises Infeasible.

    `start` holds genomes whose figures are known: they are generation 0 and cost nothing of the budget.
    """
    space.require_feasible(settings.max_parameters)
    seen: dict[str, None] = {}
    survivors: list[Scored] = []
    left = settings.budget
    for number in range(settings.generations + 1):
        generator = stream(seed, "generation", number)
        if number == 0 and start:
            proposals = [_proposal(space, genome, "remembered", (), seen) for genome in start]
        else:
            proposals = _propose(space, settings, number, survivors, seen, generator)[:left]
            left = None if left is None else left - len(proposals)
        if not proposals:
            return
        scored = [result for result in evaluate(number, proposals, survivors) if result is not None]
        survivors = _select(settings, survivors + scored)
        yield Generation(number, tuple(proposals), tuple(scored), tuple(survivors))


def _select(settings: SearchSettings, pool: list[Scored]) -> list[Scored]:
    if settings.algorithm == "nsga2":
        return selection.nsga2(pool, settings.population)
    return selection.best(pool, settings.parents)


def _propose(
    space: Space,
    settings: SearchSettings,
    number: int,
    survivors: Sequence[Scored],
    seen: dict[str, None],
    generator: np.random.Generator,
) -> list[Proposal]:
    """The candidates of one generation, none of them seen before; `seen` is extended."""
    limit = settings.max_parameters
    wanted = settings.population if number == 0 else settings.crossover + settings.mutation
    if number == 0 and (every := list(islice(space.feasible(limit), wanted + 1))) and len(every) <= wanted:
        return [_proposal(space, genome, "enumerated", (), seen) for genome in every]
    children: list[Proposal] = []
    if survivors and settings.algorithm != "random":
        children += _children(space, settings, survivors, seen, generator)
    for _ in range(TRIES * wanted):
        if len(children) >= wanted:
            return children
        genome = space.draw(generator, limit)
        if genome not in seen:
            children.append(_proposal(space, genome, "random", (), seen))
    rest = (genome for genome in space.feasible(limit) if genome not in seen)
    while len(children) < wanted and (genome := next(rest, "")):
        children.append(_proposal(space, genome, "enumerated", (), seen))
    return children


def _children(
    space: Space,
    settings: SearchSettings,
    survivors: Sequence[Scored],
    seen: dict[str, None],
    generator: np.random.Generator,
) -> Iterator[Proposal]:
    """Crossover, then mutation of survivors; fewer than asked for where new genomes are rare."""
    limit = settings.max_parameters
    for operator, count in (("crossover", settings.crossover), ("mutation", settings.mutation)):
        made = 0
        for _ in range(TRIES * count):
            if made == count:
                break
            if operator == "crossover":
                parents = [survivors[place].proposal for place in pair(len(survivors), generator)]
                genome = crossover(space, parents[0].genome, parents[1].genome, limit, generator)
            else:
                parents = [survivors[int(generator.integers(len(survivors)))].proposal]
                genome = mutate(space, parents[0].genome, settings.mutation_rate, limit, generator)
            if genome not in seen:
                made += 1
                yield _proposal(space, genome, operator, tuple(parent.id for parent in parents), seen)


def _proposal(space: Space, genome: str, operator: str, parents: tuple[int, ...], seen: dict[str, None]) -> Proposal:
    """The next number goes to this genome."""
    number = len(seen)
    seen[genome] = None
    return Proposal(number, genome, operator, parents, space.parameters(genome))
