"""Every genome of a space within a budget of parameters, one after another. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from supernet.chains import OFF

if TYPE_CHECKING:
    from supernet.space import Form, Space


def feasible(space: Space, budget: int) -> Iterator[str]:
    """Lengths of the chains first, then the forms that such lengths leave; cheap ones first."""
    forms = [sorted(each, key=lambda form: form.parameters) for each in space.standing]
    least = [each[0].parameters for each in forms]
    free = sum(cost for gene, cost in enumerate(least) if gene not in space.chained)
    shortest = [[sum(least[gene] for gene in chain.genes[:n]) for n in chain.lengths] for chain in space.chains]
    for path in within(shortest, budget - free):
        lengths = [chain.lengths[index] for chain, index in zip(space.chains, path, strict=True)]
        yield from _of_lengths(space, forms, lengths, budget)


def _of_lengths(space: Space, forms: Sequence[Sequence[Form]], lengths: Sequence[int], budget: int) -> Iterator[str]:
    """Every genome of at most `budget` parameters whose chains have these lengths."""
    options = [list(each) for each in forms]
    for chain, length in zip(space.chains, lengths, strict=True):
        for gene in chain.genes[length:]:
            options[gene] = [space.genes[gene].by_name[OFF]]
    for path in within([[form.parameters for form in each] for each in options], budget):
        yield "".join(each[index].letter for each, index in zip(options, path, strict=True))


def within(costs: Sequence[Sequence[int]], budget: int) -> Iterator[tuple[int, ...]]:
    """One index into each of these ascending costs, in every way that costs at most `budget` together.

    Depth-first over one after another, cut where even the cheapest rest exceeds the budget.
    """
    rest = [0] * (len(costs) + 1)  # rest[k]: the least that costs k, k+1, ... come to
    for k in range(len(costs) - 1, -1, -1):
        rest[k] = rest[k + 1] + costs[k][0]
    if rest[0] > budget:
        return
    path = [0] * len(costs)
    spent = [0] * (len(costs) + 1)  # spent[k]: what 0 .. k-1 cost
    level = 0
    while level >= 0:
        if level == len(costs):
            yield tuple(path)
            level -= 1
            if level >= 0:
                path[level] += 1
            continue
        options, index = costs[level], path[level]
        if index < len(options) and spent[level] + options[index] + rest[level + 1] <= budget:
            spent[level + 1] = spent[level] + options[index]
            level += 1
            if level < len(costs):
                path[level] = 0
        else:  # costs ascend, so the later ones do not fit either
            level -= 1
            if level >= 0:
                path[level] += 1
