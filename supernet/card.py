"""The model card of an export: what it is, its figures, its forms by layer, and how to load it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from supernet.model import Supernet

if TYPE_CHECKING:
    from supernet.export import Subnet

LOADING = """```python
import timm
from PIL import Image

model = timm.create_model("local-dir:PATH_OF_THIS_FOLDER", pretrained=True).eval()
transform = timm.data.create_transform(**timm.data.resolve_data_config(model=model))
logits = model(transform(Image.open("image.png").convert("RGB")).unsqueeze(0))
```"""


RUNNING = """```python
import torch

model = torch.export.load("PATH_OF_THIS_FOLDER/model.pt2").module()  # of any number of images, normalised
```"""

MERGED = """\
A plain timm model. The subnet's {parameters:,} adapted parameters are merged into the backbone's weights, so inference
costs what the backbone costs, and no code beyond timm is needed."""

NOT_MERGED = """\
A timm model with more in it. The subnet has {parameters:,} adapted parameters; those of {count} of its genes are in no
weight of the backbone ({genes}). It is a traced program, and no code beyond torch is needed."""


def model_card(subnet: Subnet, supernet: Supernet, parameters: int, rest: Mapping[str, str]) -> str:
    """README.md in the form that model hubs read."""
    names = ", ".join(subnet.classes[:12]) + (", ..." if len(subnet.classes) > 12 else "")
    return f"""---
library_name: timm
tags: [image-classification, timm, glora]
base_model: timm/{subnet.backbone.model}
---

# {subnet.title}: {subnet.backbone.model}, fine-tuned by a GLoRA search

{_what(parameters, rest)}

- input: {subnet.backbone.image_size} x {subnet.backbone.image_size} pixels, squashed, bicubic; mean
  {_triple(subnet.backbone.mean)}, std {_triple(subnet.backbone.std)}
- classes ({subnet.backbone.classes}): {names}

## Figures

{_figures(subnet.figures)}

## Load

{RUNNING if rest else LOADING}

## Forms

How often each form of each gene was chosen, and the forms of every site (`none` left out). Space
{subnet.space.name}: ranks {list(subnet.space.ranks)}, product {subnet.space.product}, storage {subnet.space.storage},
scales {subnet.space.scales}.

{_counts(supernet, subnet.genome)}

| site | forms |
|---|---|
{_sites(supernet.forms(subnet.genome))}

Genome: `{subnet.genome}`
"""


def _what(parameters: int, rest: Mapping[str, str]) -> str:
    if not rest:
        return MERGED.format(parameters=parameters)
    outcomes = Counter(f"{gene.rpartition('.')[2]} {outcome}" for gene, outcome in rest.items())
    genes = ", ".join(f"{count} {name}" for name, count in outcomes.items())
    return NOT_MERGED.format(parameters=parameters, count=len(rest), genes=genes)


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
