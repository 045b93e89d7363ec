"""LoRA: a low-rank product beside the weight.

    W = W0 + s * down[:, :k] @ up[:k],   s = alpha / k, or 1                                 (1)

down (out, r) starts at zero, up (r, in) from Kaiming's uniform; the rank k <= r is the form, and costs k (out + in).
On the thirds q and v of a fused qkv it is the paper's; on the whole of it one `up` serves q, k and v, as in NOAH.
Source: LoRA (arXiv 2106.09685) section 4; NOAH (arXiv 2206.04673).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from pydantic import Field
from torch import Tensor, nn

from supernet.choices.reweight import Index, Rows, Terms
from supernet.choices.slices import EVERY, NONE, size_of, sized, taken, uniform, zeros
from supernet.strict import Settings, Sizes


class LoRA(nn.Module):
    """A low-rank product of one of the ranks, or none."""

    class Options(Settings):
        """What a row may set."""

        ranks: Sizes = Field(default=(8,), description="ranks; smaller ones are slices of the largest")
        alpha: float | None = Field(default=None, gt=0, description="the product is scaled by alpha / rank; none: by 1")

    on, needs_bias, weighs = ("linear", "conv"), False, True

    def __init__(self, out: int, width: int, options: Options, generator: torch.Generator) -> None:
        super().__init__()
        self.alpha = options.alpha
        self.down = zeros(out, max(options.ranks))
        self.up = uniform(max(options.ranks), width, width=width, generator=generator)
        self.forms = (*sized("lora", options.ranks, lambda k: k * (out + width)), NONE)

    def terms(self, form: str, weight: Tensor, bias: Tensor | None) -> Terms:
        return Terms(**self.stored(form))

    def delta(self, form: str, weight: Tensor, bias: Tensor | None) -> tuple[Tensor | None, None]:
        parts = self.stored(form)
        return (parts["down"] @ parts["up"] if parts else None), None

    def add(self, form: str, rows: Rows, weight: Tensor) -> Tensor:
        parts = self.stored(form)
        return torch.addmm(weight, parts["down"][rows.at], parts["up"], out=rows.merged_weight)

    def entries(self, form: str) -> Iterable[tuple[str, Index]]:
        k = slice(0, 0 if form == "none" else size_of(form))
        return [] if form == "none" else [("down", (EVERY, k)), ("up", (k, EVERY))]

    def stored(self, form: str) -> dict[str, Tensor]:
        parts = taken(self, self.entries(form))
        return {**parts, "down": parts["down"] * (self.alpha / size_of(form))} if parts and self.alpha else parts
