"""From a table to the choices of a model: which genes stand where, and with which forms."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from pydantic import ValidationError
from torch import nn

from supernet import choices
from supernet.chains import OFF, Chain, lengths_of
from supernet.choices.on_rows import OnRows
from supernet.errors import BadInput
from supernet.settings import SpaceSettings
from supernet.sites import OPS, Place, matching, named, places, unserved
from supernet.space import Form, Gene, Space
from supernet.strict import Settings
from supernet.tables import Row

Found = tuple[str, Any, tuple[Form, ...]]  # (gene, choice, its allowed forms)


def table_of(model: nn.Module, settings: SpaceSettings) -> list[tuple[Place, list[Row]]]:
    """Every site of the model at which something can be chosen, with its rows.

    Raises BadInput on a row without one, and on two that put a gene of one name at one.
    """
    everywhere = list(places(model))
    rows: dict[Place, list[Row]] = {place: [] for place in everywhere}
    for row in settings.table:
        kinds = choices.named(row.choice).on
        named = matching(everywhere, row.sites)
        found = [place for place in named if place.kind in kinds]
        if not found:
            raise BadInput(_nowhere(model, row, kinds, named))
        for place in found:
            if any(other.gene == row.gene for other in rows[place]):
                raise BadInput(
                    f"space.rows: {place.name} has the gene {row.gene!r} twice; "
                    "name one of them differently, or narrow its sites."
                )
            rows[place].append(row)
    return [(place, rows) for place, rows in rows.items() if rows]


def _nowhere(model: nn.Module, row: Row, kinds: Sequence[str], named: Sequence[Place]) -> str:
    """Why a row has no site in this backbone."""
    why = unserved(model) if not set(kinds) & set(OPS.values()) else None
    if why is not None:
        return (
            f"space: {row.gene} ({row.choice}) wraps {row.sites}, but {why}. "
            "Methods that change the numbers of ops work here, such as lora, ssf, bitfit or glora."
        )
    there = f"is a {named[0].kind}" if named else "names no site of this backbone"
    return f"space: {row.gene} ({row.choice}) can stand at a {' or '.join(kinds)}; {row.sites!r} {there}."


def choices_at(
    op: nn.Linear, settings: SpaceSettings, generator: torch.Generator, rows: Sequence[Row] | None = None
) -> Iterator[Found]:
    """(gene, choice, its allowed forms) for each row, by default of the whole table, that the op can hold."""
    place = Place("", "linear", "", op, (op.out_features, op.in_features))
    return choices_of(place, settings, generator, settings.table if rows is None else rows)


def choices_of(
    place: Place, settings: SpaceSettings, generator: torch.Generator, rows: Sequence[Row]
) -> Iterator[Found]:
    """(gene, choice, its allowed forms) for each row that the site can hold; a third's gene is named as `lora[q]`."""
    for row in rows:
        choice = choices.named(row.choice)
        if getattr(choice, "needs_bias", False) and place.module.bias is None:
            continue
        options = options_of(choice, row, settings)
        _require_useful(place, options)
        made = choice(*place.shape, options, generator)
        if place.rows is not None:
            made = OnRows(made, place.rows)
        yield row.gene, made, allowed_forms(row.gene, made.forms, settings)


def space_of(genes: Sequence[Gene], settings: SpaceSettings) -> Space:
    """The genes, those of a row with `depths` as a chain: by their names, in the order of the model's modules."""
    chains = []
    for row in settings.table:
        if row.depths:
            pattern = named(f"{row.sites}.{row.gene}")
            chain = [place for place, gene in enumerate(genes) if pattern.fullmatch(gene.name)]
            if chain:
                _require_ends(row, genes[chain[0]])
                chains.append(Chain(tuple(chain), lengths_of(len(chain), row.depths)))
    return Space(tuple(genes), tuple(chains))


def _require_ends(row: Row, gene: Gene) -> None:
    """Raises BadInput unless a gene of a chain can stand, and not."""
    if OFF not in gene.by_name or len(gene.forms) == 1:
        raise BadInput(
            f"space.forms.{row.gene} is {list(gene.by_name)}, but a row with depths needs {OFF!r} for the sites "
            "where its gene does not stand, and another form for those where it does. Name both, or leave out depths."
        )


def options_of(choice: Any, row: Row, settings: SpaceSettings) -> Settings:
    """The row's options, checked; where the choice shares settings of the space, those are the defaults."""
    kind: type[Settings] = choice.Options
    shared = {key: getattr(settings, key) for key in kind.model_fields} if isinstance(settings, kind) else {}
    given = {key: tuple(value) if isinstance(value, list) else value for key, value in row.options.items()}
    try:
        return kind(**{**shared, **given})
    except ValidationError as error:
        raise BadInput(_wrong_options(row, kind, error)) from None


def _wrong_options(row: Row, kind: type[Settings], error: ValidationError) -> str:
    """The first mistake, in a sentence."""
    first = error.errors()[0]
    key, known = ".".join(str(part) for part in first["loc"]), list(kind.model_fields)
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, known, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        return (
            f"space.options.{row.gene}: {row.choice} has no option {key!r}; it has {', '.join(known) or 'none'}.{hint}"
        )
    setting = ".".join(("space.options", row.gene, *([key] if key else [])))
    return f"{setting}: {first['msg'].removeprefix('Value error, ')}; got {first['input']!r}."


def _require_useful(place: Place, options: Settings) -> None:
    """Raises BadInput on a rank that adds nothing at an op."""
    largest = max(getattr(options, "ranks", (1,)))
    if place.kind == "linear" and largest > min(place.shape):
        out, width = place.shape
        raise BadInput(
            f"space.ranks has {largest}, but a Linear of this backbone is {out} x {width}: "
            f"a rank above {min(out, width)} adds nothing there."
        )


def allowed_forms(gene: str, forms: tuple[Form, ...], settings: SpaceSettings) -> tuple[Form, ...]:
    """The forms that `space.forms` leaves, in the choice's own order. Raises BadInput on a form the gene lacks."""
    wanted = settings.forms.get(gene)
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
