"""How likely a draw takes each form: what survivors are held against.

A search draws near the method that its supernet's training kept near, so that the method's form of a gene is likelier
than the others, unless it was told to draw every form alike (drawing.py). Under a limit, draws are tilted towards cheap
forms, by what a form costs: alike in all layers of a kind of a stage. So the shares are counted among the candidates
that were drawn and not taken from the alphabet, which would call the method's forms and the small ones important.

They are counted over those depths of a kind of a stage together at which the method has the same form: `scaled_lora`
has LoRA at some depths only, and the draws differ there. Where the method is not known, all depths are taken together.

Genes of a chain (chains.py of the supernet) stand in the first layers and in none behind them, so that depths are not
alike there. Whether one stands is then counted at each depth, and the forms of those that stand over them together:

    share(form) = P(stands at this depth) P(form | it stands),    share(none) = 1 - P(stands at this depth)        (1)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from db.records import Candidate, Gene
from glora_search.anatomy.loci import form_of, locus_of
from supernet.chains import OFF

Shares = Mapping[str, Mapping[str, float]]  # gene's name -> form -> probability


def draw_shares(genes: Sequence[Gene], draws: Sequence[Candidate], method: str | None = None) -> Shares:
    """The share of each form, with half a count added (Jeffreys): 1 / forms where nothing was drawn, and never 0.

    `method` is the genome that the draws are near, if they are near one that is known.
    """
    kinds: dict[tuple[str, str, str], list[int]] = {}
    for place, gene in enumerate(genes):
        locus = locus_of(gene["name"])
        near = form_of(gene, method[place]) if method else ""
        kinds.setdefault((locus.staged, locus.support, near), []).append(place)
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
