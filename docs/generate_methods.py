"""Write what the tables say into docs/methods: `make docs`. A test holds the files equal to what this makes.

| between the markers                    | stands                                                                     |
|----------------------------------------|----------------------------------------------------------------------------|
| `<!-- index -->` and `<!-- end -->`    | every table with its counts and how it merges                              |
| `<!-- tables: a b -->`, `<!-- end -->` | of each of these tables a picture, its genes, their options and its counts |
| `<!-- formula: a -->`, `<!-- end -->`  | the docstring of supernet/choices/a.py, where the formula is kept          |

Counts are those of a ViT-B/16; what merges is found by merging the largest subnet of a small model.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from math import log10
from pathlib import Path
from typing import Any

import timm
import torch
from method_picture import picture
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from supernet import choices, tables
from supernet.compiling import Outcome, mergeable, outcomes
from supernet.model import Supernet
from supernet.settings import SpaceSettings
from supernet.sites import Place
from supernet.space import Gene, Space
from supernet.spaces import choices_of, options_of, space_of, table_of
from supernet.tables import Row

FOLDER = Path(__file__).with_name("methods")
MARKED = re.compile(
    r"(?P<head><!-- (?P<kind>index|tables|formula)(: (?P<names>[\w ]+))? -->\n).*?(?=<!-- end -->)", re.S
)


def pages() -> Iterator[tuple[Path, str]]:
    """Each page and each picture with what should be in it."""
    for path in sorted(FOLDER.glob("*.md")):
        yield path, MARKED.sub(_section, path.read_text(encoding="utf-8"))
    for name in tables.TABLES:
        yield FOLDER / "images" / f"{name}.svg", picture(_genes_by_site(name))


def described() -> dict[str, Path]:
    """Table -> the page that describes it."""
    found = {}
    for path in sorted(FOLDER.glob("*.md")):
        for match in MARKED.finditer(path.read_text(encoding="utf-8")):
            if match["kind"] == "tables":
                found |= dict.fromkeys(match["names"].split(), path)
    return found


def _section(match: re.Match[str]) -> str:
    names = (match["names"] or "").split()
    write = {"index": _index, "tables": _tables, "formula": _formulas}[match["kind"]]
    return f"{match['head']}\n{write(names)}\n\n"


def _index(names: list[str]) -> str:
    lines = ["| `space.name` | genes | parameters, at most | subnets | merges |", "|---|---:|---:|---:|---|"]
    for name, page in sorted(described().items(), key=lambda each: list(tables.TABLES).index(each[0])):
        space = _space(name)
        cells = f"{len(space.genes)} | {space.parameters(space.largest):,} | {_size(space)} | {_merging(name)}"
        lines.append(f"| [`{name}`]({page.name}) | {cells} |")
    return "\n".join(lines)


def _tables(names: list[str]) -> str:
    return "\n\n".join((f"## `{name}`\n\n" if len(names) > 1 else "") + _table(name) for name in names)


def _table(name: str) -> str:
    space = _space(name)
    genes = Counter(re.sub(r"\.\d+\.", ".*.", gene.name) for gene in space.genes)
    there = f"{len(space.genes)} genes" if len(genes) != 1 else f"{len(space.genes)} times `{next(iter(genes))}`"
    parts = [
        f"![Where the genes of {name} sit](images/{name}.svg)",
        *([_rows(name)] if space.genes else []),
        f"In a ViT-B/16: {there}, at most {space.parameters(space.largest):,} parameters, {_size(space)} subnets. "
        f"Merges: {_merging(name)}.",
    ]
    return "\n\n".join(parts)


def _rows(name: str) -> str:
    """Each row of a table with each of its options; rows alike but for the site share their lines."""
    settings = SpaceSettings(name=name)
    sites: dict[str, list[str]] = {}
    for row in settings.table:
        for option in _options(row, settings):
            sites.setdefault(option, []).append(f"`{row.sites}`")
    lines = ["| gene | sites | choice | option | here | default | |", "|---|---|---|---|---|---|---|"]
    return "\n".join([*lines, *(option.replace("SITES", ", ".join(each)) for option, each in sites.items())])


def _options(row: Row, settings: SpaceSettings) -> Iterator[str]:
    head = f"| `{row.gene}` | SITES | `{row.choice}` |"
    here = options_of(choices.named(row.choice), row, settings)
    if row.depths:
        yield f"{head} `depths` | `{row.depths}` | `0` | {_cell(Row.model_fields['depths'].description)} |"
    for key, field in type(here).model_fields.items():
        values = (f"`{json.dumps(value)}`" for value in (getattr(here, key), field.default))
        yield f"{head} `{key}` | {' | '.join(values)} | {_cell(field.description)} |"
    if not type(here).model_fields and not row.depths:
        yield f"{head} - | | | |"


def _cell(text: str | None) -> str:
    return (text or "").replace("|", "\\|")


def _formulas(names: list[str]) -> str:
    """The docstrings as they are; a module of supernet itself where no choice has the name."""
    found = []
    for name in names:
        module = import_module(f"supernet.choices.{name}" if name in choices.names() else f"supernet.{name}")
        found.append(f"```text\n{(module.__doc__ or '').strip()}\n```")
    return "\n\n".join(found)


# What the code says of a table


@cache
def _vit_b() -> nn.Module:
    with torch.device("meta"):
        model: nn.Module = timm.create_model("vit_base_patch16_224", num_classes=0)
    return model


@cache
def _space(name: str) -> Space:
    """Of a ViT-B/16; the choices are made one after another, and only their forms are kept."""
    settings, genes = SpaceSettings(name=name), list[Gene]()
    for place, rows in table_of(_vit_b(), settings):
        found = choices_of(place, settings, torch.Generator().manual_seed(0), rows)
        genes += [Gene(f"{place.name}.{gene}", forms) for gene, _, forms in found]
    return space_of(genes, settings)


def _size(space: Space) -> str:
    return str(space.size) if space.size < 1000 else f"10^{log10(space.size):.1f}"


@cache
def _outcomes(name: str) -> dict[str, Outcome]:
    """Gene -> outcome of the largest subnet of a model of two blocks."""
    tiny: dict[str, Any] = {"img_size": 32, "patch_size": 16, "embed_dim": 16, "depth": 2, "num_heads": 2}
    supernet = Supernet(VisionTransformer(**tiny, num_classes=2), SpaceSettings(name=name), torch.Generator())
    return outcomes(supernet, supernet.space.largest)


def _merging(name: str) -> str:
    """`yes`, or `partly: lora merged, prompt compiled, adapter kept`."""
    found = _outcomes(name)
    each = dict.fromkeys(f"{gene.rpartition('.')[2]} {outcome}" for gene, outcome in found.items())
    answer = mergeable(found)
    return answer if set(found.values()) <= {"merged"} or answer == "no" else f"{answer}: {', '.join(each)}"


def _genes_by_site(name: str) -> dict[str, list[str]]:
    """Site of the first block, or outside of the blocks -> its genes; q, k and v alike are the whole."""
    settings = SpaceSettings(name=name)
    found = [(place, rows) for place, rows in table_of(_vit_b(), settings) if _is_drawn(place)]
    return {place.name: list(dict.fromkeys(row.gene for row in rows)) for place, rows in found}


def _is_drawn(place: Place) -> bool:
    return not re.match(r"blocks\.[1-9]", place.name)


if __name__ == "__main__":
    for path, text in pages():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
