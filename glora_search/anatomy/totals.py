"""How often the genes of a group have a form by chance, all together: those of a support, or of a layer kind.

The genes of one candidate are not drawn independently: under a limit, and where draws span all sizes, a candidate is
large or small as a whole. So whole draws are dropped down the family tree of descent.py: in every drop each candidate
in which genes are new has those of one of the draws, taken at random, and

    total = sum over genes g, members m of [draw(origin(g, m)) has the form at g]                               (3)

where genes of a site descend by (1) independently of those of others. The drops are the distribution of the total.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from db.records import Candidate, Gene
from glora_search.anatomy.loci import form_of

SYNTHETIC = 500  # genomes with equal shares, where a search drew none

Totals = Mapping[str, np.ndarray]  # form -> (DROPS,) members that have it at one gene


def totals(
    genes: Sequence[Gene], draws: Sequence[Candidate], origins: np.ndarray, generator: np.random.Generator
) -> list[Totals]:
    """For each gene the terms of equation (3), drop by drop; `origins` is (DROPS, members), of `descent.dropped`."""
    drops = len(origins)
    names, columns = np.unique(origins, return_inverse=True)
    columns = columns.reshape(origins.shape)  # (DROPS, members) places in `names`
    genomes = [each.genome for each in draws] or _synthetic(genes, generator)
    drawn = generator.integers(len(genomes), size=(drops, len(names)))  # the draw that each origin has
    rows, shifts = np.arange(drops), generator.integers(drops, size=len(genes))
    found: list[Totals] = []
    for place, gene in enumerate(genes):
        descent = columns[(rows + shifts[place]) % drops]  # other drops of (1) for every gene
        which = np.take_along_axis(drawn, descent, axis=1)  # (DROPS, members) places in `genomes`
        letters = np.array([genome[place] for genome in genomes])[which]
        found.append({form_of(gene, letter): (letters == letter).sum(axis=1) for letter in gene["alphabet"]})
    return found


def two_sided(drops: np.ndarray, count: int) -> float:
    """p of a total as far out as this one, or farther: twice the smaller tail, the total itself counted as a drop."""
    smaller = min(int((drops <= count).sum()), int((drops >= count).sum()))
    return min(1.0, 2 * (smaller + 1) / (len(drops) + 1))


def _synthetic(genes: Sequence[Gene], generator: np.random.Generator) -> list[str]:
    """Genomes in which every form of a gene is equally likely."""
    columns = [generator.choice(list(gene["alphabet"]), size=SYNTHETIC) for gene in genes]
    return ["".join(row) for row in zip(*columns, strict=True)]
