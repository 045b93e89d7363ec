"""Adapter, parallel adapter, scaled parallel adapter, AdaptFormer: one bottleneck, placed and scaled four ways.

    change(x) = s (act(x D^T + b_D) U^T + b_U)       D (r, d), U (d, r)                      (1)

| insertion  | y                    |                                                                     |
|------------|----------------------|---------------------------------------------------------------------|
| `after`    | f(x) + change(f(x))  | adapter: Houlsby at attn and mlp, Pfeiffer and NOAH at mlp          |
| `before`   | f(x + change(x))     |                                                                     |
| `parallel` | f(x) + change(x)     | parallel and scaled parallel adapter at mlp; AdaptFormer at ffn     |

The site is the port: `blocks.i.mlp` hands over what norm2 made, `blocks.i.ffn` the residual stream as it is. U and b_U
start at zero, so it is the backbone at the start; D is Kaiming's uniform, b_D zero. A form is a rank r (and a scale s,
if there are several); smaller ranks are slices and scales share all numbers. Costs 2 d r + r + d.

A parallel bottleneck at mlp with the MLP's own activation compiles into hidden units of that MLP (equivalents.py).
Source: Adapter (arXiv 1902.00751); He et al. (arXiv 2110.04366) section 3; AdaptFormer (arXiv 2205.13535); NOAH.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from string import ascii_lowercase
from typing import Literal

import torch
from pydantic import Field, ValidationInfo, field_validator
from torch import Tensor, nn
from torch.nn import functional as F

from supernet.choices.reweight import Index
from supernet.choices.rewire import Function
from supernet.choices.slices import EVERY, NONE, size_of, sized, taken, uniform, zeros
from supernet.equivalents import widened
from supernet.space import Form
from supernet.strict import Scales, Settings, Sizes


def quick_gelu(x: Tensor) -> Tensor:
    """x sigmoid(1.702 x)."""
    return x * torch.sigmoid(1.702 * x)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "quick_gelu": quick_gelu,
    "silu": F.silu,
}


class Bottleneck(nn.Module):
    """A bottleneck of one of the ranks and scales, or none."""

    class Options(Settings):
        """What a row may set."""

        ranks: Sizes = Field(default=(8,), description="ranks; smaller ones are slices of the largest")
        scales: Scales = Field(default=(1.0,), description="s of the formula; each is a form")
        activation: Literal["relu", "gelu", "quick_gelu", "silu"] = Field(default="relu", description="act")
        insertion: Literal["after", "before", "parallel"] = Field(default="parallel", description="where it stands")

        @field_validator("scales")
        @classmethod
        def _forms_have_letters(cls, value: tuple[float, ...], info: ValidationInfo) -> tuple[float, ...]:
            if len(value) > 1 and len(value) * len(info.data.get("ranks", ())) > len(ascii_lowercase):
                raise ValueError(f"expected at most {len(ascii_lowercase)} forms, a scale for each of the ranks")
            return value

    on, by_token = ("branch", "block"), True

    def __init__(self, width: int, heads: int, options: Options, generator: torch.Generator) -> None:
        super().__init__()
        rank, self.options = max(options.ranks), options
        self.into, self.into_bias = uniform(rank, width, width=width, generator=generator), zeros(rank)
        self.back, self.back_bias = zeros(width, rank), zeros(width)
        ranks = sized("rank", options.ranks, lambda r: 2 * width * r + r + width)
        self.forms = (*(ranks if len(options.scales) == 1 else _by_scale(ranks, options.scales)), NONE)

    def change(self, form: str, x: Tensor) -> Tensor:
        """Equation (1): (..., d) -> (..., d)."""
        p = self.stored(form)
        hidden = ACTIVATIONS[self.options.activation](F.linear(x, p["into"], p["into_bias"]))
        return F.linear(hidden, p["back"], p["back_bias"])

    def around(self, form: str, f: Function, *x: Tensor) -> Tensor:
        (tokens,) = x
        match self.options.insertion:
            case "before":
                return f(tokens + self.change(form, tokens))
            case "parallel":
                return f(tokens) + self.change(form, tokens)
            case _:
                out = f(tokens)
                return out + self.change(form, out)

    def entries(self, form: str) -> Iterable[tuple[str, Index]]:
        if form == "none":
            return []
        r = slice(0, size_of(form.partition("x")[0]))
        return [("into", (r, EVERY)), ("into_bias", (r,)), ("back", (EVERY, r)), ("back_bias", (EVERY,))]

    def stored(self, form: str) -> dict[str, Tensor]:
        scale = float(form.partition("x")[2] or self.options.scales[0])
        return {
            name: part * scale if name.startswith("back") and scale != 1 else part
            for name, part in taken(self, self.entries(form)).items()
        }

    def compiled(self, form: str, f: nn.Module) -> nn.Module | None:
        if self.options.insertion != "parallel":
            return None
        return widened(f, ACTIVATIONS[self.options.activation], **self.stored(form))


def _by_scale(ranks: tuple[Form, ...], scales: tuple[float, ...]) -> list[Form]:
    """A form for each rank and scale, as rank8x4; its letter is one of the small ones."""
    letters = iter(ascii_lowercase)
    return [Form(f"{rank.name}x{scale:g}", next(letters), rank.parameters) for rank in ranks for scale in scales]
