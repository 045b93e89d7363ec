"""Where a gene sits, read off its name: `blocks.3.attn.qkv.A` is support A of the layer kind `attn.qkv` at depth 3."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from db.records import Gene


@dataclass(frozen=True, order=True)
class Locus:
    """A gene's place. Layers of one kind have one shape, so that a form costs the same in all of them."""

    depth: tuple[int, ...]  # the numbers of the name, as in (3,); empty for what stands outside the blocks
    kind: str  # the rest of the site, as in `attn.qkv`
    support: str  # `A`


def locus_of(name: str) -> Locus:
    """The numbers are the depth; the kind is what remains, without the names of the lists that they count."""
    *path, support = name.split(".")
    depth = tuple(int(part) for part in path if part.isdigit())
    lists = {place - 1 for place, part in enumerate(path) if part.isdigit()}
    words = [part for place, part in enumerate(path) if not part.isdigit() and place not in lists]
    return Locus(depth, ".".join(words or [part for part in path if not part.isdigit()]), support)


def form_of(gene: Gene, letter: str) -> str:
    """What a character of a genome means at this gene."""
    return gene["alphabet"][letter]


def forms_at(genes: Sequence[Gene], places: Sequence[int]) -> list[str]:
    """Every form of the genes at these places, in the order of their alphabets."""
    return list(dict.fromkeys(form for place in places for form in genes[place]["alphabet"].values()))
