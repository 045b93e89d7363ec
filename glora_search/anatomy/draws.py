"""How likely a draw takes each form: what survivors are held against.

Without a limit every form of a gene is equally likely. Under one, draws are tilted towards cheap forms, by what a form
costs: alike in all layers of a kind. So the shares are counted among the candidates that were drawn, over the depths of
a kind together, and not taken from the alphabet, which would call small forms important under every limit.

Genes of a chain (chains.py of the supernet) stand in the first layers and in none behind them, so that depths are not
alike there. Whether one stands is then counted at each depth, and the forms of those that stand over all depths:

    share(form) = P(stands at this depth) P(form | it stands),    share(none) = 1 - P(stands at this depth)        (1)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from db.records import Candidate, Gene
from glora_search.anatomy.loci import form_of, locus_of
from supernet.chains import OFF

Shares = Mapping[str, Mapping[str, float]]  # gene's name -> form -> probability


def draw_shares(genes: Sequence[Gene], draws: Sequence[Candidate]) -> Shares:
    """The share of each form, with half a count added (Jeffreys): 1 / forms where nothing was drawn, and never 0."""
    kinds: dict[tuple[str, str], list[int]] = {}
    for place, gene in enumerate(genes):
        locus = locus_of(gene["name"])
        kinds.setdefault((locus.kind, locus.support), []).append(place)
    found: dict[str, Mapping[str, float]] = {}
    for places in kinds.values():
        places.sort(key=lambda place: locus_of(genes[place]["name"]).depth)
        count_of = _of_a_chain if _is_chain(genes, places, draws) else _alike
        found |= count_of(genes, places, draws)
    return found


def shares_of(gene: Gene, shares: Shares) -> Mapping[str, float]:
    """Form -> probability at this gene."""
    return shares[gene["name"]]


def _alike(genes: Sequence[Gene], places: Sequence[int], draws: Sequence[Candidate]) -> Shares:
    shares = _jeffreys(_counts(genes, places, draws))
    return {genes[place]["name"]: shares for place in places}


def _of_a_chain(genes: Sequence[Gene], places: Sequence[int], draws: Sequence[Candidate]) -> Shares:
    """Equation (1)."""
    standing = _counts(genes, places, draws)
    del standing[OFF]
    forms, found = _jeffreys(standing), {}
    for place in places:
        off = sum(form_of(genes[place], each.genome[place]) == OFF for each in draws)
        stands = (len(draws) - off + 0.5) / (len(draws) + 1)
        found[genes[place]["name"]] = {form: stands * share for form, share in forms.items()} | {OFF: 1 - stands}
    return found


def _is_chain(genes: Sequence[Gene], places: Sequence[int], draws: Sequence[Candidate]) -> bool:
    """Whether no draw has a gene that stands behind one that does not. Free genes never look so over many draws."""
    if not draws or any(OFF not in genes[place]["alphabet"].values() for place in places):
        return False
    stand = [[form_of(genes[place], each.genome[place]) != OFF for place in places] for each in draws]
    return all(row == sorted(row, reverse=True) for row in stand)


def _counts(genes: Sequence[Gene], places: Sequence[int], draws: Sequence[Candidate]) -> Counter[str]:
    counter = Counter({form: 0 for place in places for form in genes[place]["alphabet"].values()})
    for place in places:
        counter.update(form_of(genes[place], each.genome[place]) for each in draws)
    return counter


def _jeffreys(counts: Counter[str]) -> dict[str, float]:
    total = counts.total() + 0.5 * len(counts)
    return {form: (count + 0.5) / total for form, count in counts.items()}
