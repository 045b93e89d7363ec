"""RepAdapter: a linear bottleneck before an op, its second half in G groups.

    x <- x + s (U (D x + b_D) + b_U)       D (k, in) dense, U = blockdiag of G (in / G, k / G)
    W = W0 + s W0 U D,   b = b0 + s W0 (U b_D + b_U)                                         (1)

D is Xavier-uniform, U and the biases start at zero. The rank k is the form and costs k in + k + k in / G + in; a
smaller one takes the first k / G rows of each group. Before merging (1) is run as thin products, and not as the
source's two convolutions. Source: RepAdapter (arXiv 2302.08106); luogen1996/RepAdapter.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from supernet.choices.reweight import Index, Rows, Terms
from supernet.choices.slices import EVERY, NONE, size_of, sized, taken, uniform, zeros
from supernet.errors import BadInput
from supernet.strict import Positive, Settings, Sizes


class RepAdapter(nn.Module):
    """A linear adapter before the op, of one of the ranks, or none."""

    class Options(Settings):
        """What a row may set."""

        ranks: Sizes = Field(default=(8,), description="ranks, multiples of `groups`")
        groups: Positive = Field(default=2, description="groups of the second half")
        scale: float = Field(default=1.0, gt=0, description="s of the formula")

        @model_validator(mode="after")
        def _groups_divide_ranks(self) -> RepAdapter.Options:
            if any(rank % self.groups for rank in self.ranks):
                raise ValueError(f"ranks must be multiples of groups = {self.groups}")
            return self

    on, needs_bias, weighs = ("linear",), True, True

    def __init__(self, out: int, width: int, options: Options, generator: torch.Generator) -> None:
        super().__init__()
        groups, k, self.scale = options.groups, max(options.ranks) // options.groups, options.scale
        if width % groups:
            raise BadInput(f"space.options: groups is {groups}, which does not divide the width {width}.")
        self.into = uniform(groups, k, width, width=(groups * k + width) / 6, generator=generator)  # D
        self.into_bias, self.back_bias = zeros(groups, k), zeros(width)
        self.back = zeros(groups, width // groups, k)  # U
        self.forms = (*sized("rank", options.ranks, lambda k: k * width + k + k * width // groups + width), NONE)

    def terms(self, form: str, weight: Tensor, bias: Tensor | None) -> Terms:
        down, up, shift = self._factors(form, weight)
        return Terms(down=down, up=up, bias=shift)

    def delta(self, form: str, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
        down, up, shift = self._factors(form, weight)
        return down @ up, shift

    def add(self, form: str, rows: Rows, weight: Tensor) -> Tensor:
        down, up, shift = self._factors(form, rows.weight)
        assert rows.merged_bias is not None, "RepAdapter is left out of the space of a layer without a bias"
        rows.merged_bias.add_(shift)
        return torch.addmm(weight, down, up, out=rows.merged_weight)

    def _factors(self, form: str, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(s W0 U (out, k), D (k, in), s W0 (U b_D + b_U) (out,)) of some rows of W0 (out, in)."""
        p = self.stored(form)
        groups = weight.view(len(weight), len(p["back"]), -1)  # of inputs: (out, G, in / G)
        down = torch.einsum("ogi,gik->ogk", groups, p["back"]).flatten(1)
        return down, p["into"].flatten(0, 1), down @ p["into_bias"].flatten() + weight @ p["back_bias"]

    def entries(self, form: str) -> Iterable[tuple[str, Index]]:
        if form == "none":
            return []
        k = slice(0, size_of(form) // len(self.back))
        return [
            ("into", (EVERY, k, EVERY)),
            ("into_bias", (EVERY, k)),
            ("back", (EVERY, EVERY, k)),
            ("back_bias", (EVERY,)),
        ]

    def stored(self, form: str) -> dict[str, Tensor]:
        scaled = ("back", "back_bias")
        return {
            name: part * self.scale if name in scaled else part
            for name, part in taken(self, self.entries(form)).items()
        }
