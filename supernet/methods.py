"""Fixed methods of the field as genomes of the GLoRA space (methods.md's special cases, exact for `elementwise`).

`scaled_lora` is the one between them: a scale and a shift of every output, as SSF has them, and LoRA with what they
leave of LoRA's own number of parameters. The products get it rank by rank, first where a layer has few outputs: there
its vectors say least. Close to it: DoRA (arXiv 2402.09353), whose magnitudes are such a scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from supernet.choices.factors import rank_of
from supernet.errors import BadInput
from supernet.space import Gene, Space

LARGEST_LORA = "lora"  # stands for the largest LoRA form of a gene
SCALED_LORA = "scaled_lora"
AUTO = (SCALED_LORA, "lora", "largest")  # what `auto` means: the first that the space can say

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
    if method == SCALED_LORA:
        return _scaled_lora(space)
    if method not in FIXED:
        names = ", ".join((*FIXED, SCALED_LORA, "largest"))
        raise BadInput(f"No fixed method is named {method!r}; there are {names}.")
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
    """The fixed method that `training.around` names; of AUTO the first that the space can say."""
    return next(name for name in AUTO if _says(space, name)) if around == "auto" else around


def within(space: Space, method: str, limit: int | None) -> str:
    """The method's genome, or where that has more parameters than the limit the same method with what fits.

    `scaled_lora` has less LoRA then. Of others the dearest form gives way to a smaller rank or to `none`, the last of
    equals first. `largest` stays as it is, and what cannot be cut so far: these are above the limit.
    """
    genome = fixed_genome(space, method)
    if limit is None or space.parameters(genome) <= limit or method == "largest" or space.chains:
        return genome
    if method == SCALED_LORA:
        with suppress(BadInput):  # not even the vectors fit
            return _scaled_lora(space, limit)
    forms = space.decode(genome)
    while space.parameters(cut := space.encode(forms)) > limit:
        less = [(gene, form) for gene in space.genes if (form := _less(gene, forms[gene.name]))]
        if not less:
            return genome
        place = max(range(len(less)), key=lambda i: (less[i][0].by_name[forms[less[i][0].name]].parameters, i))
        gene, form = less[place]
        forms[gene.name] = form
    return cut


def _less(gene: Gene, form: str) -> str | None:
    """A product of the next smaller rank, or else `none`; None where there is neither."""
    ranks = sorted((each for each in gene.by_name if each.startswith("lora")), key=rank_of)
    smaller = ranks[: ranks.index(form)] if form in ranks else []
    if smaller:
        return smaller[-1]
    return "none" if form != "none" and "none" in gene.by_name else None


def _says(space: Space, method: str) -> bool:
    try:
        fixed_genome(space, method)
    except BadInput:
        return False
    return True


def _scaled_lora(space: Space, limit: int | None = None) -> str:
    """A genome of at most LoRA's parameters, and the limit's. Raises BadInput where a form it needs is left out."""
    lora = space.parameters(fixed_genome(space, "lora"))
    limit = lora if limit is None else min(lora, limit)
    forms = {gene.name: _vector(gene) for gene in space.genes}
    products = {gene.name: gene for gene in space.genes if gene.name.endswith(".B")}
    outputs = {  # of each layer: E's vector has one number for each, and A's, unless its product is of matrices
        gene.name.rpartition(".")[0]: gene.by_name["vector"].parameters
        for gene in space.genes
        if forms[gene.name] == "vector"
    }
    forms |= dict.fromkeys(products, "none")
    left = limit - space.parameters(space.encode(forms))
    if left < 0:
        raise BadInput(f"{SCALED_LORA}: the vectors alone have more than {limit} parameters.")
    ranks = sorted(
        {form for gene in products.values() for form in gene.by_name if form.startswith("lora")}, key=rank_of
    )
    for rank in ranks:
        for name, gene in sorted(products.items(), key=lambda item: outputs.get(item[0].rpartition(".")[0], 0)):
            more = (
                gene.by_name[rank].parameters - gene.by_name[forms[name]].parameters
                if rank in gene.by_name
                else left + 1
            )
            if more <= left:
                forms[name], left = rank, left - more
    return space.encode(forms)


def _vector(gene: Gene) -> str:
    """`vector` for A and E, `none` for the others."""
    if gene.name.rpartition(".")[2] not in ("A", "E"):
        return "none"
    return _form(gene, {"A": "vector", "E": "vector"}, SCALED_LORA)


def _form(gene: Gene, wanted: Mapping[str, str], method: str) -> str:
    form = wanted.get(gene.name.rpartition(".")[2], "none")
    if form == LARGEST_LORA:
        ranks = [name for name in gene.by_name if name.startswith("lora")]
        form = max(ranks, key=rank_of, default=form)
    if form not in gene.by_name:
        raise BadInput(f"{method} needs the form {form!r} of {gene.name}, which this space leaves out.")
    return form
