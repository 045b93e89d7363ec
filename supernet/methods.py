"""Fixed methods of the field as genomes of the GLoRA space (methods.md's special cases, exact for `elementwise`)."""

from __future__ import annotations

from collections.abc import Mapping

from supernet.choices.factors import rank_of
from supernet.errors import BadInput
from supernet.space import Gene, Space

LARGEST_LORA = "lora"  # stands for the largest LoRA form of a gene

# gene -> form at every Linear; genes not named are `none`
FIXED: Mapping[str, Mapping[str, str]] = {
    "linear_probe": {},
    "bias_of_linears": {"E": "vector"},
    "lora": {"B": LARGEST_LORA},
    "ssf": {"A": "vector", "D": "vector", "E": "vector"},  # y <- gamma * y + beta after every Linear
}


def fixed_genome(space: Space, method: str) -> str:
    """The genome of a fixed method, or of `largest`. Raises BadInput if the space lacks a form that it needs."""
    if method == "largest":
        return space.largest
    if method not in FIXED:
        raise BadInput(f"No fixed method is named {method!r}; there are {', '.join((*FIXED, 'largest'))}.")
    letters = {gene.name.rpartition(".")[2] for gene in space.genes}
    if FIXED[method] and not letters & FIXED[method].keys():
        raise BadInput(
            f"{method} as a genome of GLoRA needs its genes {', '.join(FIXED[method])}; this space has "
            f"{', '.join(sorted(letters)) or 'none'}. Name `largest`, or search the space glora."
        )
    return space.encode({gene.name: _form(gene, FIXED[method], method) for gene in space.genes})


def centre(space: Space, around: str) -> str:
    """The genome that `training.around` names."""
    return fixed_genome(space, centre_name(space, around))


def centre_name(space: Space, around: str) -> str:
    """The fixed method that `training.around` names. `auto` is `lora` in a space that can say it, else `largest`."""
    if around != "auto":
        return around
    try:
        fixed_genome(space, "lora")
    except BadInput:
        return "largest"
    return "lora"


def _form(gene: Gene, wanted: Mapping[str, str], method: str) -> str:
    form = wanted.get(gene.name.rpartition(".")[2], "none")
    if form == LARGEST_LORA:
        ranks = [name for name in gene.by_name if name.startswith("lora")]
        form = max(ranks, key=rank_of, default=form)
    if form not in gene.by_name:
        raise BadInput(f"{method} needs the form {form!r} of {gene.name}, which this space leaves out.")
    return form
