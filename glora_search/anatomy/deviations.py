"""Which genes matter: forms that survivors have more or less often than chance explains, at three levels.

    support    all genes of A, or B, ..
    layer      those of one layer kind, as `attn.qkv.A`; in a network of stages of each, as `layers.2.attn.qkv.A`
    gene       a single one, with the exact distribution of descent.py; the others with that of totals.py

The p-values of a level are corrected for their number by Holm's method, which holds whatever depends on what.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from db.records import Candidate, Gene
from glora_search.anatomy import descent
from glora_search.anatomy import totals as total
from glora_search.anatomy.descent import chance, clans, dropped, novelty
from glora_search.anatomy.draws import Shares, draw_shares, shares_of
from glora_search.anatomy.loci import form_of, forms_at, locus_of
from glora_search.anatomy.totals import Totals, totals

SIGNIFICANT = 0.05  # of an adjusted p-value
LEVELS: Mapping[str, Callable[[str], str]] = {
    "support": lambda name: locus_of(name).support,
    "layer": lambda name: f"{locus_of(name).staged}.{locus_of(name).support}",
    "gene": lambda name: name,
}


@dataclass(frozen=True)
class Deviation:
    """How often a group of candidates has a form, beside how often draws have it."""

    level: str
    what: str  # `A`, `attn.qkv.A` or a gene's name
    form: str
    draw: float  # expected share
    share: float  # among the group
    p: float  # of a share as far from the expected one, by chance
    adjusted: float  # p, corrected for the level's number of tests


@dataclass(frozen=True)
class Null:
    """What chance explains for a group of candidates."""

    shares: Shares  # of the draws
    single: Mapping[float, np.ndarray]  # q -> (members + 1,) distribution of one gene's count, exact
    terms: Sequence[Totals]  # of each gene, for totals over many


def null(
    genes: Sequence[Gene],
    candidates: Sequence[Candidate],
    members: Sequence[Candidate],
    draws: Sequence[Candidate],
    method: str | None = None,
) -> Null:
    """Seeded, so that the same campaign is explained in the same words. `method` as in draws.py."""
    generator = np.random.default_rng(0)
    shares = draw_shares(genes, draws, method)
    origins = dropped(candidates, members, novelty(genes, candidates, shares), generator)
    q = sorted({each for gene in genes for each in shares_of(gene, shares).values()})
    single = dict(zip(q, chance(clans(origins), np.array(q)), strict=True))
    return Null(shares, single, totals(genes, draws, origins, generator))


def deviations(level: str, genes: Sequence[Gene], members: Sequence[Candidate], null: Null) -> list[Deviation]:
    """Every form of every gene, or group of genes, that leaves a choice; in the space's order."""
    places: dict[str, list[int]] = {}
    for place, gene in enumerate(genes):
        if len(gene["alphabet"]) > 1:
            places.setdefault(LEVELS[level](gene["name"]), []).append(place)
    found = [
        _deviation(level, what, form, genes, members, places[what], null)
        for what in places
        for form in forms_at(genes, places[what])
    ]
    adjusted = holm([each.p for each in found])
    return [replace(each, adjusted=p) for each, p in zip(found, adjusted, strict=True)]


def _deviation(
    level: str,
    what: str,
    form: str,
    genes: Sequence[Gene],
    members: Sequence[Candidate],
    places: Sequence[int],
    null: Null,
) -> Deviation:
    places = [place for place in places if form in genes[place]["alphabet"].values()]
    count = sum(form_of(genes[place], each.genome[place]) == form for place in places for each in members)
    expected = [shares_of(genes[place], null.shares)[form] for place in places]
    if level == "gene":
        p = descent.two_sided(null.single[expected[0]], count)
    else:
        p = total.two_sided(np.sum([null.terms[place][form] for place in places], axis=0), count)
    return Deviation(level, what, form, sum(expected) / len(places), count / (len(places) * len(members)), p, p)


def holm(p: Sequence[float]) -> list[float]:
    """p-values corrected for their number: below 0.05 they are wrong about any of them in at most 5% of cases. 1979."""
    adjusted, largest = [1.0] * len(p), 0.0
    for rank, place in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        largest = max(largest, min(1.0, (len(p) - rank) * p[place]))
        adjusted[place] = largest
    return adjusted
