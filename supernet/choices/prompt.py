"""VPT: n trained tokens beside the image's, thrown away behind the span that they enter.

    y = first N of f(cat[x, P_n])       x (batch, N, d), P (n, d)                            (1)

At `blocks` this is VPT-shallow, at each `blocks.i` VPT-deep, whose prompts are replaced block by block. Where they
stand in the sequence is of no consequence without relative positions. P is uniform in +-sqrt(6 / (3 * 16^2 + d)), which
for a patch of 16 is the source's; costs n d. Not the backbone at the start.

A deep prompt compiles: only what attention makes of it is seen, its keys and values, which no image moves:

    P_k, P_v = k and v thirds of qkv(norm1(P))       then a prefix of attention (prefix.py)  (2)

Source: VPT (arXiv 2203.12119) section 3.2, from the formulas.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from pydantic import Field
from torch import Tensor, nn

from supernet.choices.reweight import Index
from supernet.choices.rewire import Function
from supernet.choices.slices import EVERY, NONE, size_of, sized, taken, uniform
from supernet.equivalents import with_prefix
from supernet.strict import Settings, Sizes


class Prompt(nn.Module):
    """Prompts of one of the lengths, or none."""

    class Options(Settings):
        """What a row may set."""

        lengths: Sizes = Field(default=(10,), description="prompts; fewer are the first of the most")

    on, by_token = ("stack", "block"), False

    def __init__(self, width: int, heads: int, options: Options, generator: torch.Generator) -> None:
        super().__init__()
        self.prompts = uniform(max(options.lengths), width, width=(3 * 16**2 + width) / 6, generator=generator)
        self.forms = (*sized("prompt", options.lengths, lambda n: n * width), NONE)

    def around(self, form: str, f: Function, *x: Tensor) -> Tensor:
        (tokens,) = x
        prompts = self.prompts[: size_of(form)].to(tokens.dtype).expand(tokens.shape[0], -1, -1)
        return f(torch.cat([tokens, prompts], dim=1))[:, : tokens.shape[1]]

    def entries(self, form: str) -> Iterable[tuple[str, Index]]:
        return [] if form == "none" else [("prompts", (slice(0, size_of(form)), EVERY))]

    def stored(self, form: str) -> dict[str, Tensor]:
        return taken(self, self.entries(form))

    def compiled(self, form: str, f: nn.Module) -> nn.Module | None:
        return with_prefix(f, self.prompts[: size_of(form)])
