"""Which genes matter: the forms of the best and of the front beside those of draws, and what chance says of them."""

from __future__ import annotations

from typing import Any

from glora_search.anatomy.deviations import LEVELS, Deviation, deviations, null
from glora_search.anatomy.survivors import Survivors


def importance(found: Survivors) -> list[dict[str, Any]]:
    """A row for each level, gene or group of genes, and form: its shares, and what chance says of them."""
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for group, members in found.groups.items():
        by_chance = null(found.genes, found.candidates, members, found.draws, found.method)
        for level in LEVELS:
            for each in deviations(level, found.genes, members, by_chance):
                row = rows.setdefault((level, each.what, each.form), _begun(each))
                row |= {group: each.share, f"{group}_p": each.p, f"{group}_adjusted": each.adjusted}
    return list(rows.values())


def against(found: Survivors) -> str:
    """What the shares are compared with, as a sentence."""
    draws = len(found.draws)
    alike = " at which the method that they are near has one form" if found.method else ""
    drawn = (
        f"the draw: the {draws} candidates that were drawn at random, all depths of a layer kind{alike} together"
        if draws
        else "the alphabet with equal shares, since no candidate of this search was drawn at random"
    )
    adopted = sum(each.operator == "remembered" for each in found.candidates)
    related = f" {adopted} candidates came from other searches; how they are related is not known." if adopted else ""
    return (
        f"{found.name}: the {len(found.top)} best of {len(found.candidates):,} candidates and the {len(found.front)} "
        f"on the front, against {drawn}. p: chance along the family tree, corrected for the number of tests. The "
        f"front is chosen by size too, so small forms are frequent there whatever they do.{related}"
    )


def _begun(each: Deviation) -> dict[str, Any]:
    return {"level": each.level, "what": each.what, "form": each.form, "draw": each.draw}
