"""Alphabets of sizes, and the slices of larger tensors that smaller sizes are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import sqrt

import torch
from torch import Tensor, nn

from supernet.choices.reweight import Index
from supernet.space import Form
from supernet.strict import LETTERS

NONE = Form("none", ".", 0)
EVERY = slice(None)


def sized(word: str, sizes: tuple[int, ...], cost: Callable[[int], int]) -> tuple[Form, ...]:
    """A form for each size, as lora8. Its letter is the size where that is one digit, else a capital."""
    capitals = iter(LETTERS)
    return tuple(Form(f"{word}{k}", str(k) if k < 10 else next(capitals), cost(k)) for k in sizes)


def size_of(form: str) -> int:
    """lora8 -> 8."""
    return int(form.lstrip("abcdefghijklmnopqrstuvwxyz"))


def taken(choice: nn.Module, entries: Iterable[tuple[str, Index]]) -> dict[str, Tensor]:
    """Name -> the slices of that parameter."""
    return {name: choice.get_parameter(name)[index] for name, index in entries}


def uniform(*shape: int, width: float, generator: torch.Generator) -> nn.Parameter:
    """Drawn from U(-1 / sqrt(width), 1 / sqrt(width)): Kaiming's with a = sqrt(5), as of a Linear of that input."""
    return nn.Parameter((torch.rand(*shape, generator=generator) * 2 - 1) / sqrt(width))


def normal(*shape: int, std: float, generator: torch.Generator) -> nn.Parameter:
    """Drawn from N(0, std^2)."""
    return nn.Parameter(torch.randn(*shape, generator=generator) * std)


def zeros(*shape: int) -> nn.Parameter:
    """All zero."""
    return nn.Parameter(torch.zeros(*shape))
