"""Spaces and genomes as values: names, alphabets, costs, draws, repair. No torch.

A *space* is an ordered tuple of genes, a *gene* an alphabet of forms, a *genome* one line of text with the letter of
one form for each gene, in the space's order. The cost of a genome is the sum of its forms' trainable parameters. Genes
may be chained (chains.py): then not every line of letters is a genome.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np

from supernet.chains import OFF, Chain, one_of
from supernet.enumeration import feasible
from supernet.errors import BadInput, Infeasible
from supernet.tilt import cumulative_forms, cumulative_lengths, tilt_to, tilt_under


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
    chains: tuple[Chain, ...] = ()  # without a gene in common

    def __post_init__(self) -> None:
        assert len(self.chained) == sum(len(chain.genes) for chain in self.chains), "a gene is in one chain"
        for gene in self.chained:
            costs = {form.name: form.parameters for form in self.genes[gene].forms}
            assert costs.pop(OFF, None) == 0, f"{self.genes[gene].name} cannot be none for nothing"
            assert costs, f"{self.genes[gene].name} cannot stand"

    def __hash__(self) -> int:  # of costs alone, once: each draw asks for it. The same in all processes, and it travels
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash(tuple(form.parameters for gene in self.genes for form in gene.forms))

    # ---- text <-> forms

    def encode(self, forms: Mapping[str, str]) -> str:
        """The genome with `forms[gene name] = form name`; genes left out are as in the smallest subnet."""
        self._require_known(forms)
        letters = []
        for gene, cheapest in zip(self.genes, self.smallest, strict=True):
            name = forms.get(gene.name)
            if name is None:
                letters.append(cheapest)
            elif name in gene.by_name:
                letters.append(gene.by_name[name].letter)
            else:
                raise BadInput(f"{gene.name} has the forms {', '.join(gene.by_name)}; got {name!r}.")
        genome = "".join(letters)
        self.require(genome)
        return genome

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
        for chain in self.chains:
            self._require_chain(chain, genome)

    def holds(self, genome: str) -> bool:
        """Whether the text is a genome of this space."""
        try:
            self.require(genome)
        except BadInput:
            return False
        return True

    def _require_chain(self, chain: Chain, genome: str) -> None:
        letters = [genome[gene] for gene in chain.genes]
        standing = [self.stands(gene, letter) for gene, letter in zip(chain.genes, letters, strict=True)]
        length = sum(standing)
        if length not in chain.lengths or not all(standing[:length]):
            first, last = (self.genes[gene].name for gene in (chain.genes[0], chain.genes[-1]))
            raise BadInput(
                f"Of the {len(letters)} genes from {first} to {last} the first {one_of(chain.lengths)} have a form "
                f"other than `none`, and those behind them are `none`; got the letters {''.join(letters)!r}."
            )

    def _require_known(self, names: Mapping[str, str]) -> None:
        known = {gene.name for gene in self.genes}
        for name in names:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                raise BadInput(f"No gene is named {name!r}." + (f" Did you mean {near[0]!r}?" if near else ""))

    def canonical(self, genome: str) -> str:
        """The one of all equal genomes that stands for them: equal for *every* value of the shared weights.

        The genome itself, since each form has a number that no other form could stand in for, and a chain's length is
        how many of its genes stand. It would differ in a space with a form that another one makes void.
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
        cheapest = [min(forms, key=lambda form: form.parameters).letter for forms in self.standing]
        return self.cut(cheapest, [chain.lengths[0] for chain in self.chains])

    @cached_property
    def largest(self) -> str:
        dearest = [max(forms, key=lambda form: form.parameters).letter for forms in self.standing]
        return self.cut(dearest, [chain.lengths[-1] for chain in self.chains])

    @property
    def size(self) -> int:
        """How many genomes the space holds."""
        counts = [len(forms) for forms in self.standing]
        free = prod(count for gene, count in enumerate(counts) if gene not in self.chained)
        return free * prod(
            sum(prod(counts[gene] for gene in chain.genes[:length]) for length in chain.lengths)
            for chain in self.chains
        )

    def require_feasible(self, limit: int | None) -> None:
        """Raise Infeasible if no genome has at most `limit` parameters; the message names the smallest limit."""
        smallest = self.parameters(self.smallest)
        if limit is not None and limit < smallest:
            raise Infeasible(
                f"max_parameters is {limit:,}, but the smallest subnet of this space has {smallest:,}. "
                f"Set search.max_parameters to at least {smallest} or allow cheaper forms in space.forms."
            )

    # ---- chains

    @cached_property
    def chained(self) -> frozenset[int]:
        """The places of the genes that are in a chain."""
        return frozenset(gene for chain in self.chains for gene in chain.genes)

    @cached_property
    def standing(self) -> tuple[tuple[Form, ...], ...]:
        """For each gene the forms that it has where it stands: all of them, or in a chain those but `none`."""
        return tuple(
            tuple(form for form in gene.forms if form.name != OFF) if place in self.chained else gene.forms
            for place, gene in enumerate(self.genes)
        )

    def stands(self, gene: int, letter: str) -> bool:
        """Whether a gene of a chain stands with this letter."""
        return self.genes[gene].by_letter[letter].name != OFF

    def lengths(self, genome: Sequence[str]) -> list[int]:
        """How many genes of each chain stand."""
        return [sum(self.stands(gene, genome[gene]) for gene in chain.genes) for chain in self.chains]

    def cut(self, letters: Sequence[str], lengths: Sequence[int]) -> str:
        """The genome whose chains stand no longer than that."""
        kept = list(letters)
        for chain, length in zip(self.chains, lengths, strict=True):
            for gene in chain.genes[length:]:
                kept[gene] = self.genes[gene].by_name[OFF].letter
        return "".join(kept)

    def settled(self, letters: Sequence[str], lengths: Sequence[int], generator: np.random.Generator) -> str:
        """The genome whose chains have these lengths; a gene that is `none` and has to stand gets any form."""
        kept = list(letters)
        for chain, length in zip(self.chains, lengths, strict=True):
            for gene in chain.genes[:length]:
                if not self.stands(gene, kept[gene]):
                    kept[gene] = self.standing[gene][generator.integers(len(self.standing[gene]))].letter
        return self.cut(kept, lengths)

    def mixed(self, one: str, other: str, genes: np.ndarray, chains: np.ndarray) -> str:
        """Each gene of `one` where `genes` (genes,) bool says so, else of `other`; and so each chain's length.

        A gene that is `none` in the one and has to stand is that of the other, which then stands there.
        """
        letters = [a if first else b for a, b, first in zip(one, other, genes, strict=True)]
        both = zip(self.lengths(one), self.lengths(other), chains, strict=True)
        lengths = [a if first else b for a, b, first in both]
        for chain, length in zip(self.chains, lengths, strict=True):
            for gene in chain.genes[:length]:
                if not self.stands(gene, letters[gene]):
                    letters[gene] = one[gene] if self.stands(gene, one[gene]) else other[gene]
        return self.cut(letters, lengths)

    # ---- draws

    def draw(self, generator: np.random.Generator, limit: int | None = None, size: float | None = None) -> str:
        """One genome of at most `limit` parameters; of about `size`, if that is given.

        Without either every form of a gene is equally likely, and every length of a chain. Else genomes are tilted by
        what they cost (tilt.py): a size is the expected cost itself, above that of uniform draws by a t < 0; under a
        limit alone t is the smallest t >= 0 for which the expected cost meets it. What still exceeds it is repaired.
        """
        self.require_feasible(limit)
        tilt = tilt_under(self, limit) if size is None else tilt_to(self, size)
        cumulative = cumulative_forms(self, tilt)  # (genes, forms)
        choices = (generator.random((len(self.genes), 1)) >= cumulative).sum(axis=1)  # (genes,)
        letters = [gene.forms[choice].letter for gene, choice in zip(self.genes, choices, strict=True)]
        genome = self.cut(letters, self._drawn_lengths(tilt, generator))
        return genome if limit is None else self.repair(genome, limit, generator)

    def _drawn_lengths(self, tilt: float, generator: np.random.Generator) -> list[int]:
        """A length for each chain."""
        chances = cumulative_lengths(self, tilt) if self.chains else ()
        found = zip(self.chains, chances, generator.random(len(self.chains)), strict=True)
        return [chain.lengths[int((each >= cumulative).sum())] for chain, cumulative, each in found]

    def sizes(self, count: int, limit: int | None = None) -> np.ndarray:
        """(count,) parameters: the middles of as many equal strata from the smallest to the largest feasible subnet."""
        self.require_feasible(limit)
        smallest, largest = self.parameters(self.smallest), self.parameters(self.largest)
        largest = largest if limit is None else min(limit, largest)
        return np.asarray(smallest + (largest - smallest) * (np.arange(count) + 0.5) / count)

    def repair(self, genome: str, limit: int, generator: np.random.Generator) -> str:
        """The genome itself if it fits; else with randomly chosen genes cheaper, and chains shorter, until it does."""
        self.require_feasible(limit)
        letters, cost = list(genome), self.parameters(genome)
        while cost > limit:
            for place in generator.permutation(len(self.genes) + len(self.chains)):
                if place < len(self.genes):
                    cost -= self._cheapen(letters, place, generator)
                else:
                    cost -= self._shorten(letters, place - len(self.genes), generator)
                if cost <= limit:
                    break
        return "".join(letters)

    def _cheapen(self, letters: list[str], place: int, generator: np.random.Generator) -> int:
        """Put any cheaper form of a gene among the letters, if there is one; the parameters that it saves."""
        now = self.genes[place].by_letter[letters[place]].parameters
        cheaper = [form for form in self.standing[place] if form.parameters < now]
        if not cheaper:
            return 0
        form = cheaper[generator.integers(len(cheaper))]
        letters[place] = form.letter
        return now - form.parameters

    def _shorten(self, letters: list[str], number: int, generator: np.random.Generator) -> int:
        """Cut a chain among the letters to any smaller length, if there is one; the parameters that it saves."""
        lengths, before = self.lengths(letters), self.parameters("".join(letters))
        shorter = [length for length in self.chains[number].lengths if length < lengths[number]]
        if not shorter:
            return 0
        lengths[number] = shorter[generator.integers(len(shorter))]
        letters[:] = self.cut(letters, lengths)
        return before - self.parameters("".join(letters))

    def feasible(self, limit: int | None = None) -> Iterator[str]:
        """Every genome of at most `limit` parameters, once, without a dead end: the next one takes O(genes)."""
        return feasible(self, self.parameters(self.largest) if limit is None else limit)
