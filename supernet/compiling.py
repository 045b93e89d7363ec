"""Make a plain model of a subnet as far as it goes: merge what merges, compile what compiles, keep the rest wrapped.

| outcome    | of a gene                                                                                          |
|------------|----------------------------------------------------------------------------------------------------|
| `merged`   | its numbers are in an op's own                                                                     |
| `compiled` | the module that it wrapped has become another one, without a choice in it                          |
| `kept`     | it stays around its module, and runs there                                                         |

A compiled module computes what its callable computed alone, so a gene compiles only where nothing that is kept stands
between: at its own site before it, around its attention, or mixing tokens within its block.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import partial
from typing import Literal

from torch import nn

from supernet.merging import Merger
from supernet.model import Supernet
from supernet.rewired_site import RewiredSite
from supernet.wiring import unwire, wire

Outcome = Literal["merged", "compiled", "kept"]


def compile_into(plain: nn.Module, supernet: Supernet, genome: str) -> dict[str, Outcome]:
    """Make `plain`, built as the supernet's own model, the subnet; gene -> outcome for each gene that is not `none`."""
    Merger(plain, supernet).merge(genome)
    unwire(plain)
    kept: dict[str, dict[str, str]] = {}  # site -> gene -> form
    chosen = supernet.forms(genome)
    for site, rewired in reversed(list(supernet.rewired.items())):
        rest = _compile(plain, supernet, rewired, chosen[site], kept)
        if rest:
            kept[site] = rest
    sites = supernet.rewired
    wire(plain, {sites[site].place: partial(sites[site].around, kept[site]) for site in sites if site in kept})
    return _outcomes(supernet, genome, kept)


def outcomes(supernet: Supernet, genome: str) -> dict[str, Outcome]:
    """What `compile_into` would say, on a copy of the backbone."""
    plain = copy.deepcopy(supernet.model)
    unwire(plain)
    for path, site in supernet.ops.items():
        plain.set_submodule(path, copy.deepcopy(site.op))
    return compile_into(plain, supernet, genome)


def mergeable(outcomes: Mapping[str, Outcome]) -> Literal["yes", "partly", "no"]:
    """Whether a subnet costs what a plain model of its shape costs: `yes` if nothing is kept, `no` if all of it is."""
    kept = [outcome == "kept" for outcome in outcomes.values()]
    return "yes" if not any(kept) else "no" if all(kept) else "partly"


def _compile(
    plain: nn.Module,
    supernet: Supernet,
    site: RewiredSite,
    forms: Mapping[str, str],
    kept: Mapping[str, Mapping[str, str]],
) -> dict[str, str]:
    """Compile the genes of a site from the innermost on, as long as they do; what remains of it."""
    rest = dict(forms)
    for gene, form in forms.items():
        made = None if _between(supernet, site, kept) else _made(plain, site, gene, form)
        if made is None:
            break
        plain.set_submodule(site.place.path, made)
        del rest[gene]
    return rest


def _made(plain: nn.Module, site: RewiredSite, gene: str, form: str) -> nn.Module | None:
    return site.choice(gene).compiled(form, plain.get_submodule(site.place.path))


def _between(supernet: Supernet, site: RewiredSite, kept: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether something that is kept within the site's module wraps its attention, or mixes tokens."""
    within = (inner for inner in kept if inner.startswith(f"{site.place.path}."))
    return any(
        supernet.rewired[inner].place.path.endswith(".attn")
        or not all(supernet.rewired[inner].choice(gene).by_token for gene in kept[inner])
        for inner in within
    )


def _outcomes(supernet: Supernet, genome: str, kept: Mapping[str, Mapping[str, str]]) -> dict[str, Outcome]:
    found: dict[str, Outcome] = {}
    forms = supernet.forms(genome)
    for name, site, gene in supernet.keys:
        if gene in forms[site]:
            found[name] = "merged" if site in supernet.ops else "kept" if gene in kept.get(site, {}) else "compiled"
    return found
