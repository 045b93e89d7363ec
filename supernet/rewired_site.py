"""A site where something is wrapped: a span or a core, and the choices around it, the first of them innermost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import cast

from torch import Tensor, nn

from supernet.choices import Rewire
from supernet.choices.reweight import Index
from supernet.choices.rewire import Function
from supernet.sites import Place


class RewiredSite(nn.Module):
    """The choices of a span or a core. What is wrapped stays where it is in the model (wiring.py)."""

    def __init__(self, place: Place, choices: Mapping[str, Rewire]) -> None:
        super().__init__()
        self.place = place
        self.choices = nn.ModuleDict(cast("dict[str, nn.Module]", dict(choices)))
        self.forms: Mapping[str, str] = {}  # gene -> form, for each gene that is not `none`

    def forward(self, f: Function, *x: Tensor) -> Tensor:
        """f(x) with the site's own forms around f."""
        return self.around(self.forms, f, *x)

    def around(self, forms: Mapping[str, str], f: Function, *x: Tensor) -> Tensor:
        """f(x) with these forms around f."""
        for gene, form in forms.items():
            f = partial(self.choice(gene).around, form, f)
        return f(*x)

    def entries(self, gene: str, form: str) -> Iterable[tuple[str, Index]]:
        """(parameter name within the gene, slices) of the numbers that the form uses."""
        return self.choice(gene).entries(form)

    def stored(self, gene: str, form: str) -> dict[str, Tensor]:
        """The numbers that the form uses."""
        return self.choice(gene).stored(form)

    def choice(self, gene: str) -> Rewire:
        """The choice of a gene."""
        return cast(Rewire, self.choices[gene])
