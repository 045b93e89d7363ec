"""What became of a subnet's genes in an export, in counts and in words (compiling.py says what each outcome is)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import get_args

from supernet.compiling import Outcome

Counts = Mapping[str, Mapping[str, int]]  # outcome -> gene -> how many


def counts(outcomes: Mapping[str, Outcome]) -> dict[str, dict[str, int]]:
    """Of the genes that are not `none`, by their names without the site: `{"merged": {"lora": 12}}`."""
    found = {
        outcome: dict(Counter(gene.rpartition(".")[2] for gene, each in outcomes.items() if each == outcome))
        for outcome in get_args(Outcome)
    }
    return {outcome: genes for outcome, genes in found.items() if genes}


def all_merged(counts: Counts) -> bool:
    """Whether the export is a plain timm model."""
    return set(counts) <= {"merged"}


def said(counts: Counts) -> str:
    """`12 lora merged, 12 prompt compiled, 12 adapter kept`."""
    return ", ".join(
        f"{' and '.join(f'{count} {gene}' for gene, count in genes.items())} {outcome}"
        for outcome, genes in counts.items()
    )
