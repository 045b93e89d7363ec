"""Draws of about a size: genomes made likelier or less likely by what they cost. No torch.

    P(genome) ~ P0(genome) exp(-t parameters)                                                (1)

P0 has every form of a gene equally likely, and every length of a chain, whose forms are those but `none`. Of all
distributions with the same expected cost (1) is the one nearest to P0; without a chain that is the one of maximal
entropy. Genes stay independent, given the lengths d of their chains:

    P(form) ~ exp(-t cost),   P(d) ~ product of z over a chain's first d genes,   z = mean of exp(-t cost)   (2)

the mean being over the forms that a gene has where it stands.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from supernet.space import Space


def tilt_under(space: Space, limit: int | None) -> float:
    """The smallest t >= 0 for which the expected cost of a draw is at most the limit; inf-like where it must be 0."""
    return 0.0 if limit is None else max(0.0, tilt_to(space, limit))


@lru_cache(maxsize=256)
def tilt_to(space: Space, size: float) -> float:
    """The t for which the expected cost of a draw is `size`; inf-like, of either sign, at the ends of the space.

    The expected cost falls as t grows; the side of 0 is found first, then t by halving.
    """
    costs = _costs(space)
    side = 1 if _expected(space, costs, 0.0) > size else -1

    def short(tilt: float) -> bool:
        """Whether the expected cost has not come as far as the size."""
        return (_expected(space, costs, side * tilt) - size) * side > 0

    low, high = 0.0, 1.0
    while short(high) and high < 1e6:
        low, high = high, high * 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if short(middle) else (low, middle)
    return side * high


@lru_cache(maxsize=256)
def cumulative_forms(space: Space, tilt: float) -> np.ndarray:
    """(genes, forms) cumulative probabilities where a gene stands; exactly 1 from its last form on."""
    costs = _costs(space)
    cumulative = np.cumsum(_probabilities(costs, tilt), axis=1)
    for row, cost in zip(cumulative, costs, strict=True):
        row[np.flatnonzero(np.isfinite(cost))[-1] :] = 1.0
    return cumulative


@lru_cache(maxsize=256)
def cumulative_lengths(space: Space, tilt: float) -> tuple[np.ndarray, ...]:
    """For each chain (lengths,) cumulative probabilities; exactly 1 at the last."""
    found = []
    for chances in _length_chances(space, _costs(space), tilt):
        cumulative = np.cumsum(chances)
        cumulative[-1] = 1.0
        found.append(cumulative)
    return tuple(found)


def _costs(space: Space) -> np.ndarray:
    """(genes, most forms of a gene) parameters; inf where a gene has fewer forms, or none where it stands."""
    width = max((len(gene.forms) for gene in space.genes), default=1)
    costs = np.full((len(space.genes), width), np.inf)
    for row, gene, standing in zip(costs, space.genes, space.standing, strict=True):
        row[: len(gene.forms)] = [form.parameters if form in standing else np.inf for form in gene.forms]
    return costs


def _probabilities(costs: np.ndarray, tilt: float) -> np.ndarray:
    """(genes, forms) probabilities proportional to exp(-tilt * cost), each row summing to one."""
    weights = _weights(costs, tilt)[0]
    chances: np.ndarray = weights / weights.sum(axis=1, keepdims=True)
    return chances


def _weights(costs: np.ndarray, tilt: float) -> tuple[np.ndarray, np.ndarray]:
    """(genes, forms) exp(-tilt * (cost - c)), (genes,) c, the cost of a likeliest form: no exponent above 0."""
    missing = np.isinf(costs)
    likeliest = costs.min(axis=1) if tilt >= 0 else np.where(missing, -np.inf, costs).max(axis=1)
    away = np.where(missing, 0.0, costs - likeliest[:, None])
    return np.where(missing, 0.0, np.exp(-tilt * away)), likeliest


def _length_chances(space: Space, costs: np.ndarray, tilt: float) -> list[np.ndarray]:
    """For each chain (lengths,) probabilities by equation (2)."""
    if not space.chains:
        return []
    weights, likeliest = _weights(costs, tilt)
    log_z = np.log(weights.sum(axis=1) / np.isfinite(costs).sum(axis=1)) - tilt * likeliest  # (genes,)
    found = []
    for chain in space.chains:
        of_length = np.concatenate([[0.0], np.cumsum(log_z[list(chain.genes)])])[list(chain.lengths)]
        chances = np.exp(of_length - of_length.max())
        found.append(chances / chances.sum())
    return found


def _expected(space: Space, costs: np.ndarray, tilt: float) -> float:
    """Parameters of a draw, on average."""
    stands = np.ones((len(costs), 1))  # probability that a gene stands
    for chain, chances in zip(space.chains, _length_chances(space, costs, tilt), strict=True):
        for place, gene in enumerate(chain.genes):
            stands[gene] = chances[np.array(chain.lengths) > place].sum()
    return float((_probabilities(costs, tilt) * np.where(np.isinf(costs), 0.0, costs) * stands).sum())
