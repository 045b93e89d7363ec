"""New genomes from old ones. Every function that draws takes its generator."""

from __future__ import annotations

import numpy as np

from supernet.space import Space


def crossover(space: Space, one: str, other: str, limit: int | None, generator: np.random.Generator) -> str:
    """Each gene from either parent, with equal probability, and each chain's length; repaired under the limit."""
    genes, chains = generator.random(len(one)) < 0.5, generator.random(len(space.chains)) < 0.5
    child = space.mixed(one, other, genes, chains)
    return child if limit is None else space.repair(child, limit, generator)


def mutate(space: Space, parent: str, rate: float, limit: int | None, generator: np.random.Generator) -> str:
    """Each gene redrawn, uniformly over its forms, with probability `rate`; repaired under the limit.

    So is each chain's length, and where it grows the forms that stand there then.
    """
    redraw = generator.random(len(parent)) < rate
    letters = [
        forms[generator.integers(len(forms))].letter if again else letter
        for forms, letter, again in zip(space.standing, parent, redraw, strict=True)
    ]
    lengths = space.lengths(parent)
    for number in np.flatnonzero(generator.random(len(space.chains)) < rate):
        lengths[number] = int(generator.choice(space.chains[number].lengths))
    child = space.settled(letters, lengths, generator)
    return child if limit is None else space.repair(child, limit, generator)


def pair(count: int, generator: np.random.Generator) -> tuple[int, int]:
    """Two places among `count` parents, different where there are two."""
    if count < 2:
        return 0, 0
    first, second = generator.choice(count, size=2, replace=False)
    return int(first), int(second)
