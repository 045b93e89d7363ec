"""The search loop. It reaches the world through one argument, `evaluate`, and yields generations.

    generation 0       what is known already, if the search starts from that, else `population` draws under the limit,
                       of sizes that span the feasible ones (`first: stratified`) or as `Drawing` says
    generation n > 0   `crossover` + `mutation` children of the survivors; what is short is filled with draws. The first
                       after a start from what is known begins with what `Drawing` has fixed

No genome is proposed twice, nor two with the same canonical form. Generation n draws from (seed, n) alone, so running
the loop again with the same answers proposes the same candidates: resume is replay. A space with no more feasible
genomes than the population is enumerated.
Source: GLoRA (arXiv 2306.07967) section 3.4 and Arnav0400/ViT-Slim at 0fed674 (its last generation, which it never
ranks, is ranked here); NSGA-II: Deb et al. 2002.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from db.records import Proposal
from glora_search import selection
from glora_search.drawing import Drawing, uniform
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
    space: Space,
    settings: SearchSettings,
    seed: int,
    evaluate: Evaluate,
    start: Sequence[str] = (),
    drawing: Drawing | None = None,
) -> Iterator[Generation]:
    """Yields generations 0 .. settings.generations, fewer if the space or the budget runs out. Raises Infeasible.

    `start` holds genomes whose figures are known: they are generation 0 and cost nothing of the budget. `drawing` is
    uniform if it is left out.
    """
    drawing = drawing or uniform(space)
    space.require_feasible(settings.max_parameters)
    seen: set[str] = set()
    survivors: list[Scored] = []
    left = settings.budget
    for number in range(settings.generations + 1):
        generator = stream(seed, "generation", number)
        if number == 0 and start:
            proposals = _all_new(space, start, "remembered", seen)
        else:
            method = drawing.fixed if number == (1 if start else 0) else ()
            proposals = _propose(space, settings, replace(drawing, fixed=method), number, survivors, seen, generator)
            proposals = proposals[:left]
            left = None if left is None else left - len(proposals)
        if not proposals:
            return
        scored = [result for result in evaluate(number, proposals, survivors) if result is not None]
        survivors = _select(settings, survivors + scored)
        yield Generation(number, tuple(proposals), tuple(scored), tuple(survivors))


def _select(settings: SearchSettings, pool: list[Scored]) -> list[Scored]:
    if settings.algorithm == "nsga2":
        return selection.nsga2(pool, settings.population)
    return selection.best(pool, settings.parents, settings.rank)


def _propose(
    space: Space,
    settings: SearchSettings,
    drawing: Drawing,
    number: int,
    survivors: Sequence[Scored],
    seen: set[str],
    generator: np.random.Generator,
) -> list[Proposal]:
    """The candidates of one generation, none of them seen before; `seen` is extended by their canonical forms."""
    limit = settings.max_parameters
    wanted = settings.population if number == 0 else settings.crossover + settings.mutation
    if number == 0 and (every := list(islice(space.feasible(limit), wanted + 1))) and len(every) <= wanted:
        return _all_new(space, every, "enumerated", seen)
    children: list[Proposal] = []
    if settings.algorithm != "random":
        if number == 0 and settings.first == "stratified":
            children += _strata(space, wanted, limit, seen, generator)
        else:
            children += _all_new(space, _under(space, drawing.fixed, limit), "fixed", seen)
            if number > 0 and survivors:
                children += _children(space, settings, survivors, seen, generator)
    for _ in range(TRIES * wanted):
        if len(children) >= wanted:
            return children
        children += _all_new(space, [drawing.draw(generator, limit)], "random", seen)
    rest = (genome for genome in space.feasible(limit) if space.canonical(genome) not in seen)
    while len(children) < wanted and (genome := next(rest, "")):
        children += _all_new(space, [genome], "enumerated", seen)
    return children


def _under(space: Space, genomes: Iterable[str], limit: int | None) -> list[str]:
    return [genome for genome in genomes if limit is None or space.parameters(genome) <= limit]


def _strata(
    space: Space, wanted: int, limit: int | None, seen: set[str], generator: np.random.Generator
) -> Iterator[Proposal]:
    """One draw about each of so many sizes, in random order, so that a budget cuts none of the sizes off."""
    for size in generator.permutation(space.sizes(wanted, limit)):
        for _ in range(TRIES):
            if new := _all_new(space, [space.draw(generator, limit, float(size))], "stratified", seen):
                yield from new
                break


def _children(
    space: Space,
    settings: SearchSettings,
    survivors: Sequence[Scored],
    seen: set[str],
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
            for child in _all_new(space, [genome], operator, seen, tuple(parent.id for parent in parents)):
                made += 1
                yield child


def _all_new(
    space: Space, genomes: Iterable[str], operator: str, seen: set[str], parents: tuple[int, ...] = ()
) -> list[Proposal]:
    """The next numbers go to those of these genomes whose canonical form was not seen."""
    found: list[Proposal] = []
    for genome in genomes:
        if (form := space.canonical(genome)) not in seen:
            found.append(Proposal(len(seen), genome, operator, parents, space.parameters(genome)))
            seen.add(form)
    return found
