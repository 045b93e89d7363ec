"""What each form costs, from the candidates alone: the database keeps the sum of their parameters, not its terms.

    params = sum over (kind of a stage, support, form) of how often the genome has it * what it costs              (1)

is one equation a candidate, with `none` at 0. Its least-squares solution, rounded to whole numbers, is what forms cost
if the candidates determine it and all of their equations hold exactly; both are checked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from db.records import Candidate, Gene
from glora_search.anatomy.loci import form_of, locus_of

Costs = Mapping[tuple[str, str, str], int]  # (kind of a stage, support, form) -> parameters; not `none`, which costs 0
FREE = "none"


def costs(genes: Sequence[Gene], candidates: Sequence[Candidate]) -> Costs | None:
    """None where the candidates are too few, or too much alike, to tell the forms' costs apart."""
    columns = {kind: place for place, kind in enumerate(sorted(_kinds(genes)))}
    counts = np.zeros((len(candidates), len(columns)))
    for row, each in zip(counts, candidates, strict=True):
        for gene, letter in zip(genes, each.genome, strict=True):
            if (column := columns.get(_kind(gene, letter))) is not None:
                row[column] += 1
    params = np.array([each.params for each in candidates], dtype=float)
    solution, _, rank, _ = np.linalg.lstsq(counts, params, rcond=None)
    whole = solution.round()
    if rank < len(columns) or not np.array_equal(counts @ whole, params):
        return None
    return {kind: int(whole[column]) for kind, column in columns.items()}


def cost_of(costs: Costs, gene: Gene, letter: str) -> int:
    """The parameters of one gene of a genome."""
    return costs.get(_kind(gene, letter), 0)


def _kinds(genes: Sequence[Gene]) -> set[tuple[str, str, str]]:
    return {_kind(gene, letter) for gene in genes for letter, form in gene["alphabet"].items() if form != FREE}


def _kind(gene: Gene, letter: str) -> tuple[str, str, str]:
    locus = locus_of(gene["name"])
    return locus.staged, locus.support, form_of(gene, letter)
