"""Where the parameters went: by layer kind and depth, as in the figures of GLoRA (arXiv 2306.07967)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from db.records import Candidate, Gene
from glora_search.anatomy.costs import Costs, cost_of
from glora_search.anatomy.loci import form_of, locus_of

EVERY = "every"


@dataclass(frozen=True)
class Layer:
    """What a group of candidates has at one layer, or on average at several."""

    depth: str  # `3`, or `every`
    kind: str  # `attn.qkv`, `every`, or by kind in a network of stages `layers.2.attn.qkv`
    parameters: float | None  # adapted, of one layer: mean over candidates and layers; None where costs are not known
    shares: Mapping[str, Mapping[str, float]]  # support -> form -> share, the most frequent first

    def most(self, support: str) -> tuple[str, float] | None:
        """(most frequent form, its share), or None where the layer has no such gene."""
        return next(iter(self.shares[support].items())) if support in self.shares else None


def layers(genes: Sequence[Gene], members: Sequence[Candidate], costs: Costs | None, by: str = "layer") -> list[Layer]:
    """One for each layer, or for each `kind` or `depth`; by depth, and then in the order of the network."""
    groups: dict[tuple[tuple[int, ...], str], list[int]] = {}
    for place, gene in enumerate(genes):
        locus = locus_of(gene["name"])
        kind = locus.staged if by == "kind" else locus.kind
        key = (() if by == "kind" else locus.depth, EVERY if by == "depth" else kind)
        groups.setdefault(key, []).append(place)
    return [
        _layer(EVERY if by == "kind" else shown(depth), kind, genes, places, members, costs)
        for (depth, kind), places in sorted(groups.items(), key=lambda item: item[0][0])
    ]


def shown(depth: tuple[int, ...]) -> str:
    """`3`, `2.5` in a network of stages, `-` outside the blocks."""
    return ".".join(map(str, depth)) or "-"


def _layer(
    depth: str,
    kind: str,
    genes: Sequence[Gene],
    places: Sequence[int],
    members: Sequence[Candidate],
    costs: Costs | None,
) -> Layer:
    counts: dict[str, Counter[str]] = {}
    for place in places:
        support = locus_of(genes[place]["name"]).support
        counts.setdefault(support, Counter()).update(form_of(genes[place], each.genome[place]) for each in members)
    shares = {
        support: {form: count / counter.total() for form, count in counter.most_common()}
        for support, counter in counts.items()
    }
    if costs is None:
        return Layer(depth, kind, None, shares)
    sites = len({genes[place]["name"].rpartition(".")[0] for place in places})
    total = sum(cost_of(costs, genes[place], each.genome[place]) for place in places for each in members)
    return Layer(depth, kind, total / (sites * len(members)), shares)
