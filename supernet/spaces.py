"""Spaces as tables: which choices stand at which sites. A method is a row or a few, not new machinery."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from supernet.choices import Reweight, glora
from supernet.errors import BadInput
from supernet.settings import SpaceSettings
from supernet.space import Form, Space

Choice = Callable[[int, int, SpaceSettings, torch.Generator], Any]  # (out, in, settings, generator) -> Reweight


@dataclass(frozen=True)
class Row:
    """One gene at every op site of the space."""

    gene: str
    choice: Callable[[SpaceSettings], Choice]
    needs_bias: bool  # a layer without a bias cannot hold it once merged


def _scaling(settings: SpaceSettings) -> Choice:
    return glora.MatrixA if settings.product == "matrix" else glora.A


TABLES: Mapping[str, tuple[Row, ...]] = {
    "glora": (
        Row("A", _scaling, needs_bias=False),
        Row("B", lambda _: glora.B, needs_bias=False),
        Row("C", lambda _: glora.C, needs_bias=True),
        Row("D", lambda _: glora.D, needs_bias=True),
        Row("E", lambda _: glora.E, needs_bias=True),
    )
}


def choices_at(
    op: nn.Linear, settings: SpaceSettings, generator: torch.Generator
) -> Iterator[tuple[str, Reweight, tuple[Form, ...]]]:
    """(gene, choice, its allowed forms) for each row of the table that the op can hold."""
    if max(settings.ranks) > min(op.in_features, op.out_features):
        raise BadInput(
            f"space.ranks has {max(settings.ranks)}, but a Linear of this backbone is {op.out_features} x "
            f"{op.in_features}: a rank above {min(op.in_features, op.out_features)} adds nothing there."
        )
    for row in TABLES[settings.name]:
        if row.needs_bias and op.bias is None:
            continue
        choice = row.choice(settings)(op.out_features, op.in_features, settings, generator)
        yield row.gene, choice, allowed_forms(row.gene, choice.forms, settings)


def allowed_forms(gene: str, forms: tuple[Form, ...], settings: SpaceSettings) -> tuple[Form, ...]:
    """The forms that `space.forms` leaves, in the choice's own order. Raises BadInput on a form the gene lacks."""
    wanted = settings.forms.get(gene)  # type: ignore[call-overload]
    if wanted is None:
        return forms
    names = [form.name for form in forms]
    for name in wanted:
        if name not in names:
            raise BadInput(f"space.forms.{gene} names {name!r}; {gene} has the forms {', '.join(names)}.")
    if not wanted:
        raise BadInput(f"space.forms.{gene} is empty; name at least one of {', '.join(names)}.")
    return tuple(form for form in forms if form.name in wanted)


def alphabets(space: Space) -> Iterator[tuple[str, dict[str, str]]]:
    """(gene name, letter -> form) in the genome's order: what a genome means, as plain data."""
    for gene in space.genes:
        yield gene.name, {form.letter: form.name for form in gene.forms}
