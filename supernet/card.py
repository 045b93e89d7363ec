"""The model card of an export: what it is, its figures, its forms by layer, and how to load it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from supernet.account import Counts, all_merged, said
from supernet.model import Supernet
from supernet.settings import SpaceSettings

if TYPE_CHECKING:
    from supernet.backbone import Backbone
    from supernet.export import Subnet

LOADING = """```python
import timm
from PIL import Image

model = timm.create_model("local-dir:PATH_OF_THIS_FOLDER", pretrained=True).eval()
transform = timm.data.create_transform(**timm.data.resolve_data_config(model=model))
logits = model(transform(Image.open("image.png").convert("RGB")).unsqueeze(0))
```"""


RUNNING = """```python
import numpy
import torch
from PIL import Image

model = torch.export.load("PATH_OF_THIS_FOLDER/model.pt2").module()
mean, std = (torch.tensor(each).view(3, 1, 1) for each in ({mean}, {std}))
image = Image.open("image.png").convert("RGB").resize(({size}, {size}), Image.Resampling.BICUBIC)
pixels = torch.from_numpy(numpy.array(image)).permute(2, 0, 1) / 255
logits = model(((pixels - mean) / std).unsqueeze(0))
```"""

MERGED = """\
A plain timm model. The subnet's {parameters:,} adapted parameters are merged into the backbone's weights, so inference
costs what the backbone costs, and no code beyond timm is needed."""

NOT_MERGED = """\
Not a plain timm model, and timm cannot load this folder. The genes that adapt the backbone, with
{parameters:,} parameters: {said}. What is merged is in the backbone's own weights, what is
compiled has become a plain module, and what is kept runs beside the backbone and costs time of its own. All of it is
in one traced program, `model.pt2`: torch alone loads it, with no code of ours.

To load a program can run code that its writer put there, as it can with every `.pt2`: do not load one of a source that
you do not trust."""


def model_card(subnet: Subnet, supernet: Supernet, parameters: int, became: Counts) -> str:
    """README.md in the form that model hubs read."""
    names = ", ".join(subnet.classes[:12]) + (", ..." if len(subnet.classes) > 12 else "")
    return f"""---
library_name: {"timm" if all_merged(became) else "pytorch"}
tags: [image-classification, timm, {subnet.space.name}]
base_model: timm/{subnet.backbone.model}
---

# {subnet.title}: {subnet.backbone.model}, fine-tuned by a search of the space {subnet.space.name}

{(MERGED if all_merged(became) else NOT_MERGED).format(parameters=parameters, said=said(became))}

- input: {subnet.backbone.image_size} x {subnet.backbone.image_size} pixels, squashed, bicubic; mean
  {_triple(subnet.backbone.mean)}, std {_triple(subnet.backbone.std)}
- classes ({subnet.backbone.classes}): {names}

## Figures

{_figures(subnet.figures)}

## Load

{LOADING if all_merged(became) else _running(subnet.backbone)}

## Forms

How often each form of each gene was chosen, and the forms of every site (`none` left out). Space
{_space(subnet.space)}

{_counts(supernet, subnet.genome)}

| site | forms |
|---|---|
{_sites(supernet.forms(subnet.genome))}

Genome: `{subnet.genome}`
"""


def _running(backbone: Backbone) -> str:
    return RUNNING.format(size=backbone.image_size, mean=backbone.mean, std=backbone.std)


def _space(settings: SpaceSettings) -> str:
    """Its name, and the options of GLoRA's supports where it has any."""
    if not any(row.choice.startswith("glora.") for row in settings.table):
        return f"{settings.name}."
    return (
        f"{settings.name}: ranks {list(settings.ranks)}, product {settings.product}, storage {settings.storage}, "
        f"scales {settings.scales}."
    )


def _triple(values: tuple[float, float, float]) -> str:
    return "(" + ", ".join(f"{value:.3f}" for value in values) + ")"


def _figures(figures: dict[str, Any]) -> str:
    if not figures:
        return "None were recorded."
    return "\n".join(f"- {name}: {value}" for name, value in figures.items())


def _counts(supernet: Supernet, genome: str) -> str:
    counts: dict[str, Counter[str]] = {}
    for name, form in supernet.space.decode(genome).items():
        counts.setdefault(name.rpartition(".")[2], Counter())[form] += 1
    rows = [
        f"| {gene} | {', '.join(f'{form} {n}' for form, n in counter.most_common())} |"
        for gene, counter in sorted(counts.items())
    ]
    return "\n".join(["| gene | forms |", "|---|---|", *rows])


def _sites(forms: dict[str, dict[str, str]]) -> str:
    return "\n".join(
        f"| {site} | {', '.join(f'{gene}: {form}' for gene, form in chosen.items()) or '-'} |"
        for site, chosen in forms.items()
    )
