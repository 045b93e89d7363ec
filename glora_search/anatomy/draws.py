"""How likely a draw takes each form: what survivors are held against.

Without a limit every form of a gene is equally likely. Under one, draws are tilted towards cheap forms, by what a form
costs: alike in all layers of a kind. So the shares are counted among the candidates that were drawn, over the depths of
a kind together, and not taken from the alphabet, which would call small forms important under every limit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from db.records import Candidate, Gene
from glora_search.anatomy.loci import form_of, locus_of

Shares = Mapping[tuple[str, str], Mapping[str, float]]  # (layer kind, support) -> form -> probability


def draw_shares(genes: Sequence[Gene], draws: Sequence[Candidate]) -> Shares:
    """The share of each form, with half a count added (Jeffreys): 1 / forms where nothing was drawn, and never 0."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    for place, gene in enumerate(genes):
        counter = counts.setdefault(_key(gene), Counter())
        counter.update(dict.fromkeys(gene["alphabet"].values(), 0))
        counter.update(form_of(gene, each.genome[place]) for each in draws)
    return {
        key: {form: (count + 0.5) / (counter.total() + 0.5 * len(counter)) for form, count in counter.items()}
        for key, counter in counts.items()
    }


def shares_of(gene: Gene, shares: Shares) -> Mapping[str, float]:
    """Form -> probability at this gene."""
    return shares[_key(gene)]


def _key(gene: Gene) -> tuple[str, str]:
    locus = locus_of(gene["name"])
    return locus.kind, locus.support
