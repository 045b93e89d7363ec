"""Spaces and genomes as values: names, alphabets, costs, draws, repair. No torch.

A *space* is an ordered tuple of genes, a *gene* an alphabet of forms, a *genome* one line of text with the letter of
one form for each gene, in the space's order. The cost of a genome is the sum of its forms' trainable parameters.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import prod

import numpy as np

from supernet.errors import BadInput, Infeasible


@dataclass(frozen=True)
class Form:
    """One letter of a gene's alphabet."""

    name: str  # as people write it: `lora4`, `vector`, `scalar`, `none`
    letter: str  # one printable character, unique within its gene
    parameters: int  # trainable numbers that this form uses


@dataclass(frozen=True)
class Gene:
    """One decision at one site, such as `blocks.3.attn.qkv.A`."""

    name: str
    forms: tuple[Form, ...]

    def __post_init__(self) -> None:
        letters = [form.letter for form in self.forms]
        assert len(set(letters)) == len(letters) > 0, f"{self.name}: letters must differ, got {letters}"

    @cached_property
    def by_letter(self) -> Mapping[str, Form]:
        return {form.letter: form for form in self.forms}

    @cached_property
    def by_name(self) -> Mapping[str, Form]:
        return {form.name: form for form in self.forms}


@dataclass(frozen=True)
class Space:
    """The genes of a backbone, in a fixed order."""

    genes: tuple[Gene, ...]

    # ---- text <-> forms

    def encode(self, forms: Mapping[str, str]) -> str:
        """The genome with `forms[gene name] = form name`; genes left out take their cheapest form."""
        self._require_known(forms)
        letters = []
        for gene in self.genes:
            name = forms.get(gene.name)
            if name is None:
                letters.append(min(gene.forms, key=lambda form: form.parameters).letter)
            elif name in gene.by_name:
                letters.append(gene.by_name[name].letter)
            else:
                raise BadInput(f"{gene.name} has the forms {', '.join(gene.by_name)}; got {name!r}.")
        return "".join(letters)

    def decode(self, genome: str) -> dict[str, str]:
        """Gene name -> form name. Raises BadInput if the text is no genome of this space."""
        self.require(genome)
        return {gene.name: gene.by_letter[letter].name for gene, letter in zip(self.genes, genome, strict=True)}

    def require(self, genome: str) -> None:
        """Raise BadInput unless the text is a genome of this space."""
        if len(genome) != len(self.genes):
            raise BadInput(f"A genome of this space has {len(self.genes)} letters; got {len(genome)}.")
        for gene, letter in zip(self.genes, genome, strict=True):
            if letter not in gene.by_letter:
                raise BadInput(f"{gene.name} has the letters {''.join(gene.by_letter)!r}; got {letter!r}.")

    def _require_known(self, names: Mapping[str, str]) -> None:
        known = {gene.name for gene in self.genes}
        for name in names:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                raise BadInput(f"No gene is named {name!r}." + (f" Did you mean {near[0]!r}?" if near else ""))

    def canonical(self, genome: str) -> str:
        """The one of all equal genomes that stands for them: equal for *every* value of the shared weights.

        For GLoRA the genome itself, since each form has a number that no other form could stand in for. It would differ
        in a space with a form that another one makes void, such as a prompt of a block that is skipped.
        """
        return genome

    # ---- cost

    @cached_property
    def _cost_of_letter(self) -> tuple[Mapping[str, int], ...]:
        return tuple({form.letter: form.parameters for form in gene.forms} for gene in self.genes)

    def parameters(self, genome: str) -> int:
        """Trainable parameters of the subnet, the head not counted."""
        return sum(cost[letter] for cost, letter in zip(self._cost_of_letter, genome, strict=True))

    @cached_property
    def smallest(self) -> str:
        return "".join(min(gene.forms, key=lambda form: form.parameters).letter for gene in self.genes)

    @cached_property
    def largest(self) -> str:
        return "".join(max(gene.forms, key=lambda form: form.parameters).letter for gene in self.genes)

    @property
    def size(self) -> int:
        """How many genomes the space holds."""
        return prod(len(gene.forms) for gene in self.genes)

    def require_feasible(self, limit: int | None) -> None:
        """Raise Infeasible if no genome has at most `limit` parameters; the message names the smallest limit."""
        smallest = self.parameters(self.smallest)
        if limit is not None and limit < smallest:
            raise Infeasible(
                f"max_parameters is {limit:,}, but the smallest subnet of this space has {smallest:,}. "
                f"Set search.max_parameters to at least {smallest} or allow cheaper forms in space.forms."
            )

    # ---- draws

    def draw(self, generator: np.random.Generator, limit: int | None = None, size: float | None = None) -> str:
        """One genome of at most `limit` parameters; of about `size`, if that is given.

        Without either every form of a gene is equally likely. Else forms are drawn with probability proportional to
        exp(-t * parameters), of all distributions with the same expected cost the one of maximal entropy. A size is
        the expected cost itself, above that of uniform draws by a t < 0; under a limit alone t is the smallest t >= 0
        for which the expected cost meets it. What still exceeds the limit is repaired.
        """
        self.require_feasible(limit)
        tilt = _tilt(self, limit) if size is None else _tilt_to(self, size)
        cumulative = _cumulative(self, tilt)  # (genes, forms)
        choices = (generator.random((len(self.genes), 1)) >= cumulative).sum(axis=1)  # (genes,)
        genome = "".join(gene.forms[choice].letter for gene, choice in zip(self.genes, choices, strict=True))
        return genome if limit is None else self.repair(genome, limit, generator)

    def sizes(self, count: int, limit: int | None = None) -> np.ndarray:
        """(count,) parameters: the middles of as many equal strata from the smallest to the largest feasible subnet."""
        self.require_feasible(limit)
        smallest, largest = self.parameters(self.smallest), self.parameters(self.largest)
        largest = largest if limit is None else min(limit, largest)
        middles: np.ndarray = smallest + (largest - smallest) * (np.arange(count) + 0.5) / count
        return middles

    def repair(self, genome: str, limit: int, generator: np.random.Generator) -> str:
        """The genome itself if it fits; else with randomly chosen genes moved to cheaper forms until it does."""
        self.require_feasible(limit)
        letters, cost = list(genome), self.parameters(genome)
        while cost > limit:
            for index in generator.permutation(len(letters)):
                gene = self.genes[index]
                now = gene.by_letter[letters[index]].parameters
                cheaper = [form for form in gene.forms if form.parameters < now]
                if cheaper:
                    form = cheaper[generator.integers(len(cheaper))]
                    letters[index], cost = form.letter, cost - now + form.parameters
                if cost <= limit:
                    break
        return "".join(letters)

    def feasible(self, limit: int | None = None) -> Iterator[str]:
        """Every genome of at most `limit` parameters, once, without a dead end: the next one takes O(genes)."""
        budget = self.parameters(self.largest) if limit is None else limit
        forms = [sorted(gene.forms, key=lambda form: form.parameters) for gene in self.genes]
        rest = [0] * (len(forms) + 1)  # rest[k]: the least that genes k, k+1, ... cost
        for k in range(len(forms) - 1, -1, -1):
            rest[k] = rest[k + 1] + forms[k][0].parameters
        return _descend(forms, rest, budget)


def _descend(forms: Sequence[Sequence[Form]], rest: Sequence[int], budget: int) -> Iterator[str]:
    """Depth-first over the forms of gene after gene, cut where even the cheapest rest exceeds the budget."""
    if rest[0] > budget:
        return
    path = [0] * len(forms)  # index of the form taken for each gene
    spent = [0] * (len(forms) + 1)  # spent[k]: cost of genes 0 .. k-1
    level = 0
    while level >= 0:
        if level == len(forms):
            yield "".join(options[index].letter for options, index in zip(forms, path, strict=True))
            level -= 1
            if level >= 0:
                path[level] += 1
            continue
        options, index = forms[level], path[level]
        if index < len(options) and spent[level] + options[index].parameters + rest[level + 1] <= budget:
            spent[level + 1] = spent[level] + options[index].parameters
            level += 1
            if level < len(forms):
                path[level] = 0
        else:  # forms are sorted by cost, so the later ones do not fit either
            level -= 1
            if level >= 0:
                path[level] += 1


def _costs(space: Space) -> np.ndarray:
    """(genes, most forms of a gene) parameters; inf where a gene has fewer forms."""
    width = max((len(gene.forms) for gene in space.genes), default=1)
    costs = np.full((len(space.genes), width), np.inf)
    for row, gene in zip(costs, space.genes, strict=True):
        row[: len(gene.forms)] = [form.parameters for form in gene.forms]
    return costs


def _probabilities(costs: np.ndarray, tilt: float) -> np.ndarray:
    """(genes, forms) probabilities proportional to exp(-tilt * cost), each row summing to one.

    Costs are counted from the likeliest form of a gene, so that no exponent is above 0.
    """
    missing = np.isinf(costs)
    likeliest = costs.min(axis=1) if tilt >= 0 else np.where(missing, -np.inf, costs).max(axis=1)
    away = np.where(missing, 0.0, costs - likeliest[:, None])
    weights = np.where(missing, 0.0, np.exp(-tilt * away))
    chances: np.ndarray = weights / weights.sum(axis=1, keepdims=True)
    return chances


def _expected(costs: np.ndarray, tilt: float) -> float:
    """Parameters of a draw, on average."""
    return float((_probabilities(costs, tilt) * np.where(np.isinf(costs), 0.0, costs)).sum())


def _tilt(space: Space, limit: int | None) -> float:
    """The smallest t >= 0 for which the expected cost of a draw is at most the limit; inf-like where it must be 0."""
    return 0.0 if limit is None else max(0.0, _tilt_to(space, limit))


@lru_cache(maxsize=256)
def _tilt_to(space: Space, size: float) -> float:
    """The t for which the expected cost of a draw is `size`; inf-like, of either sign, at the ends of the space.

    The expected cost falls as t grows; the side of 0 is found first, then t by halving.
    """
    costs = _costs(space)
    side = 1 if _expected(costs, 0.0) > size else -1

    def short(tilt: float) -> bool:
        """Whether the expected cost has not come as far as the size."""
        return (_expected(costs, side * tilt) - size) * side > 0

    low, high = 0.0, 1.0
    while short(high) and high < 1e6:
        low, high = high, high * 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if short(middle) else (low, middle)
    return side * high


@lru_cache(maxsize=256)
def _cumulative(space: Space, tilt: float) -> np.ndarray:
    """(genes, forms) cumulative probabilities; exactly 1 from a gene's last form on."""
    costs = _costs(space)
    cumulative = np.cumsum(_probabilities(costs, tilt), axis=1)
    for row, gene in zip(cumulative, space.genes, strict=True):
        row[len(gene.forms) - 1 :] = 1.0
    return cumulative
