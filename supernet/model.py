"""The supernet: a frozen backbone with the shared weights of every form at its sites."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from supernet.choices.reweight import Index
from supernet.op_site import OpSite
from supernet.rewired_site import RewiredSite
from supernet.settings import SpaceSettings
from supernet.sites import Place
from supernet.space import Gene
from supernet.spaces import choices_of, space_of, table_of
from supernet.wiring import wire

__all__ = ["OpSite", "RewiredSite", "Supernet"]

Site = OpSite | RewiredSite


class Supernet(nn.Module):
    """A timm model with sites. Only the choices' parameters and the head are trained."""

    def __init__(self, model: nn.Module, settings: SpaceSettings, generator: torch.Generator) -> None:
        """Takes a model that is built *and* loaded, and puts the space's sites into it. The generator draws inits."""
        super().__init__()
        self.model = model.requires_grad_(False)
        genes = list[Gene]()
        self.keys = list[tuple[str, str, str]]()  # gene, its site, its name within the site
        standing, chosen = dict[str, Place](), dict[str, dict[str, Any]]()  # by site
        for place, rows in table_of(model, settings):
            for gene, choice, forms in choices_of(place, settings, generator, rows):
                genes.append(Gene(f"{place.name}.{gene}", forms))
                self.keys.append((genes[-1].name, place.site, gene + place.third))
                standing.setdefault(place.site, place)
                chosen.setdefault(place.site, {})[gene + place.third] = choice
        self.space = space_of(genes, settings)
        ops = {site: place.module for site, place in standing.items() if place.is_op}
        self.ops = {path: OpSite(cast(nn.Linear, op), chosen[path]) for path, op in ops.items()}
        self.rewired = {site: RewiredSite(standing[site], chosen[site]) for site in standing if site not in ops}
        self.sites: dict[str, Site] = {site: self.ops.get(site) or self.rewired[site] for site in standing}
        self.around = nn.ModuleList(self.rewired.values())  # whose parameters are then the supernet's
        wire(model, {site.place: site for site in self.rewired.values()})
        for path, each in self.ops.items():
            model.set_submodule(path, each)
        _start_head(self.head, generator)

    @property
    def head(self) -> nn.Linear:
        """The classifier, trained beside the choices and not counted among a subnet's parameters."""
        return cast(nn.Linear, self.model.get_classifier())  # type: ignore[operator]

    def train(self, mode: bool = True) -> Self:
        """As of any module, but that a stem's frozen batch norms go on with their own statistics, as in scoring."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """(batch, 3, height, width), normalised -> logits (batch, classes)."""
        return cast(Tensor, self.model(images))

    @contextmanager
    def active(self, genome: str) -> Iterator[None]:
        """Within the context the model computes the subnet of this genome; afterwards what it computed before."""
        before: dict[str, Mapping[str, str]] = {path: site.forms for path, site in self.sites.items()}
        for path, chosen in self.forms(genome).items():
            self.sites[path].forms = chosen
        try:
            yield
        finally:
            for path, forms in before.items():
                self.sites[path].forms = forms

    def forms(self, genome: str) -> dict[str, dict[str, str]]:
        """Site -> gene -> form, for each gene that is not `none`; every site has an entry."""
        forms: dict[str, dict[str, str]] = {path: {} for path in self.sites}
        self.space.require(genome)
        for (_, site, within), gene, letter in zip(self.keys, self.space.genes, genome, strict=True):
            if (form := gene.by_letter[letter].name) != "none":
                forms[site][within] = form
        return forms

    def trained(self) -> dict[str, nn.Parameter]:
        """Name -> parameter of everything that is trained: `blocks.0.attn.qkv.A.down`, ..., `head.weight`."""
        found = {
            f"{path}.{name}": parameter
            for path, site in self.sites.items()
            for name, parameter in site.choices.named_parameters()
        }
        return found | {f"head.{name}": parameter for name, parameter in self.head.named_parameters()}

    def entries(self, genome: str) -> Iterator[tuple[str, Index]]:
        """(name in `trained`, slices) of the numbers that the subnet uses, the head not among them."""
        for path, forms in self.forms(genome).items():
            for gene, form in forms.items():
                for name, index in self.sites[path].entries(gene, form):
                    yield f"{path}.{gene}.{name}", index


def _start_head(head: nn.Linear, generator: torch.Generator) -> None:
    head.requires_grad_(True)
    nn.init.trunc_normal_(head.weight, std=0.01, generator=generator)
    if head.bias is not None:
        nn.init.zeros_(head.bias)
