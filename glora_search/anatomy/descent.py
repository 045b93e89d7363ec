"""How often candidates would share a form by chance, although they are relatives.

Ten survivors of an evolution are not ten observations: crossover and mutation hand forms down, so that relatives share
also those that do nothing, and a binomial test would call them important. So what chance explains is dropped down the
recorded family tree, many times:

    a candidate without parents has a gene of its own
    a child has a parent's, each equally likely, or with the probability r of its operator a new one of its own    (1)

Candidates whose gene came from the same one form a clan. Clans of n_1, n_2, .. members have a form independently, with
the probability q of a draw, so that

    count = n_1 X_1 + n_2 X_2 + ..,    X_j ~ Bernoulli(q)                                                          (2)

of which the exact distribution is averaged over the drops. Where nobody is related every clan has one member, and (2)
is the binomial distribution. r is measured: the share of genes of an operator's children whose form no parent has, over
the share that would be seen if all were new. It so counts mutations and what repair under a limit changes.
Source of (1): gene dropping, MacCluer et al. 1986.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from db.records import Candidate, Gene
from glora_search.anatomy.draws import Shares, shares_of
from glora_search.anatomy.loci import form_of

DROPS = 5000
CHILDREN = 1000  # at most so many are looked at to measure r: each has hundreds of genes

Clans = Mapping[tuple[int, ...], float]  # sizes of the clans, largest first -> share of the drops


def novelty(genes: Sequence[Gene], candidates: Sequence[Candidate], shares: Shares) -> dict[str, float]:
    """Operator -> r of equation (1)."""
    by_id = {each.id: each for each in candidates}
    children = [each for each in candidates if each.parents]
    chances = [_by_letter(gene, shares) for gene in genes]
    seen, possible = defaultdict[str, float](float), defaultdict[str, float](float)
    for child in children[:: 1 + len(children) // CHILDREN]:
        parents = [by_id[number].genome for number in child.parents]
        for place, chance in enumerate(chances):
            inherited = {genome[place] for genome in parents}
            seen[child.operator] += child.genome[place] not in inherited
            possible[child.operator] += 1 - sum(chance[letter] for letter in inherited)
    return {operator: min(1.0, seen[operator] / most) if most > 0 else 0.0 for operator, most in possible.items()}


def dropped(
    candidates: Sequence[Candidate],
    members: Sequence[Candidate],
    novelty: Mapping[str, float],
    generator: np.random.Generator,
) -> np.ndarray:
    """(DROPS, members) id of the candidate in which each member's gene was new, by equation (1)."""
    origin: dict[int, np.ndarray] = {}  # id -> (DROPS,) id of the candidate in which its gene is new
    for each in _with_ancestors(candidates, members):
        origin[each.id] = np.full(DROPS, each.id)
        if each.parents:
            handed = np.stack([origin[number] for number in each.parents])  # (parents, DROPS)
            parent = generator.integers(len(each.parents), size=DROPS)
            old = generator.random(DROPS) >= novelty[each.operator]
            origin[each.id][old] = handed[parent, np.arange(DROPS)][old]
    return np.stack([origin[each.id] for each in members], axis=1)


def clans(origins: np.ndarray) -> Clans:
    """Into which clans the members of (DROPS, members) origins fall, and how often."""
    sizes = Counter(tuple(sorted(Counter(row).values(), reverse=True)) for row in origins.tolist())
    return {each: count / len(origins) for each, count in sizes.items()}


def chance(clans: Clans, q: np.ndarray) -> np.ndarray:
    """(forms, members + 1): for q (forms,), the distribution of equation (2), averaged over the drops."""
    members = sum(next(iter(clans)))
    total = np.zeros((len(q), members + 1))
    for sizes, share in clans.items():
        counts = np.zeros_like(total)
        counts[:, 0] = 1
        for size in sizes:
            with_it = np.zeros_like(counts)
            with_it[:, size:] = counts[:, : members + 1 - size]
            counts = (1 - q)[:, None] * counts + q[:, None] * with_it
        total += share * counts
    return total


def two_sided(distribution: np.ndarray, count: int) -> float:
    """p of a count as far out as this one, or farther: twice the smaller tail."""
    tails = distribution[: count + 1].sum(), distribution[count:].sum()
    return float(min(1.0, 2 * min(tails)))


def _with_ancestors(candidates: Sequence[Candidate], members: Sequence[Candidate]) -> list[Candidate]:
    """The members and all they descend from, parents before children."""
    by_id = {each.id: each for each in candidates}
    wanted, found = [each.id for each in members], set[int]()
    while wanted:
        number = wanted.pop()
        if number not in found:
            found.add(number)
            wanted += by_id[number].parents
    return [by_id[number] for number in sorted(found)]


def _by_letter(gene: Gene, shares: Shares) -> dict[str, float]:
    chance = shares_of(gene, shares)
    return {letter: chance[form_of(gene, letter)] for letter in gene["alphabet"]}
