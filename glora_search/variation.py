"""New genomes from old ones. Every function that draws takes its generator."""

from __future__ import annotations

import numpy as np

from supernet.space import Space


def crossover(space: Space, one: str, other: str, limit: int | None, generator: np.random.Generator) -> str:
    """Each gene from either parent, with equal probability; repaired under the limit."""
    take = generator.random(len(one)) < 0.5
    child = "".join(a if first else b for a, b, first in zip(one, other, take, strict=True))
    return child if limit is None else space.repair(child, limit, generator)


def mutate(space: Space, parent: str, rate: float, limit: int | None, generator: np.random.Generator) -> str:
    """Each gene redrawn, uniformly over its forms, with probability `rate`; repaired under the limit."""
    redraw = generator.random(len(parent)) < rate
    child = "".join(
        gene.forms[generator.integers(len(gene.forms))].letter if again else letter
        for gene, letter, again in zip(space.genes, parent, redraw, strict=True)
    )
    return child if limit is None else space.repair(child, limit, generator)


def pair(count: int, generator: np.random.Generator) -> tuple[int, int]:
    """Two places among `count` parents, different where there are two."""
    if count < 2:
        return 0, 0
    first, second = generator.choice(count, size=2, replace=False)
    return int(first), int(second)
