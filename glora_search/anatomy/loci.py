"""Where a gene sits, read off its name: `blocks.3.attn.qkv.A` is support A of the layer kind `attn.qkv` at depth 3.

In a network of stages `layers.2.blocks.5.attn.qkv.A` is at depth 2.5, in the stage `layers.2`: a Swin Transformer's and
a ConvNeXt's layers of one kind get wider from stage to stage, so there a kind of a stage, `layers.2.attn.qkv`, is what
a kind is elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from db.records import Gene

STAGE = re.compile(r"(?:^|\.)(\w+\.\d+)\.(?:blocks\.\d|downsample\.)")  # what holds blocks, or what leads to them
UNLIKE = frozenset({"stem", "downsample"})  # lists of layers that are no repetition: their numbers are no depth


@dataclass(frozen=True, order=True)
class Locus:
    """A gene's place. Layers of one kind of a stage have one shape, so that a form costs the same in all of them."""

    depth: tuple[int, ...]  # the numbers of the name, as in (3,); empty for what stands outside the blocks
    kind: str  # the rest of the site, as in `attn.qkv`
    support: str  # `A`
    stage: str = ""  # `layers.2`; empty in a network without stages

    @property
    def staged(self) -> str:
        """The kind of a stage: `attn.qkv`, or `layers.2.attn.qkv`."""
        return f"{self.stage}.{self.kind}" if self.stage else self.kind


def locus_of(name: str) -> Locus:
    """The numbers are the depth; the kind is what remains, without the names of the lists that they count."""
    *path, support = name.split(".")
    numbers = {place for place, part in enumerate(path) if part.isdigit() and path[place - 1] not in UNLIKE}
    lists = {place - 1 for place in numbers}
    words = [part for place, part in enumerate(path) if place not in numbers | lists]
    kind = ".".join(words or [part for place, part in enumerate(path) if place not in numbers])
    stage = STAGE.search(name)
    return Locus(tuple(int(path[place]) for place in sorted(numbers)), kind, support, stage[1] if stage else "")


def form_of(gene: Gene, letter: str) -> str:
    """What a character of a genome means at this gene."""
    return gene["alphabet"][letter]


def forms_at(genes: Sequence[Gene], places: Sequence[int]) -> list[str]:
    """Every form of the genes at these places, in the order of their alphabets."""
    return list(dict.fromkeys(form for place in places for form in genes[place]["alphabet"].values()))
