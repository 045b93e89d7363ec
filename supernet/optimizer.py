"""AdamW by entry: what was not drawn in a step is bit-identical after it.

    m <- b1 m + (1 - b1) g,   v <- b2 v + (1 - b2) g^2,   t <- t + 1
    p <- p - rate * lr * (m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps) + decay * p)         (1)

for the drawn entries only, each with its own step count t and the rate of its parameter, mostly 1. Forms share
tensors, so the unit is an entry (a number), not a tensor: a step that drew only the vector of a support must neither
decay nor coast its other columns.
All parameters lie in one flat buffer, of which (1) gathers the drawn entries: a dozen operations however many supports
there are, on a third of the entries. An entry may be named twice: both times it gets the same new value.
Source: AdamW (Loshchilov and Hutter, arXiv 1711.05101), algorithm 2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import log

import torch
from torch import Tensor, nn

from supernet.choices.reweight import Index


class EntryAdamW:
    """Optimizer over named parameters, which become views of one flat buffer."""

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        *,
        weight_decay: float,
        rates: Mapping[str, float] | None = None,  # by name; others have 1
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        self.weight_decay, self.betas, self.eps = weight_decay, betas, eps
        tensors = [parameter.detach().reshape(-1) for parameter in parameters.values()]
        self.values = torch.cat(tensors)  # (entries,)
        self.gradients, self.m, self.v, self.t = (torch.zeros_like(self.values) for _ in range(4))
        self._rates = _each(parameters, rates) if rates else None  # (entries,)
        self._every = torch.arange(len(self.values), device=self.values.device)  # (entries,)
        self._drawn = self._every[:0]  # (drawn,) places in the flat buffer
        self._places: dict[str, Tensor] = {}
        start = 0
        for name, parameter in parameters.items():
            part = slice(start, start + parameter.numel())
            parameter.data = self.values[part].view(parameter.shape)
            parameter.grad = self.gradients[part].view(parameter.shape)
            self._places[name] = self._every[part].view(parameter.shape)
            start = part.stop

    def zero_grad(self) -> None:
        """Before each backward pass. Gradients stay views of the flat buffer."""
        self.gradients.zero_()

    def draw(self, entries: Iterable[tuple[str, Index]], always: Iterable[str] = ()) -> None:
        """Name the entries that the next step moves: slices of parameters, and whole parameters."""
        slices = [self._places[name][index] for name, index in entries] + [self._places[name] for name in always]
        self._drawn = torch.cat([self._every[:0], *(places.reshape(-1) for places in slices)])

    def draw_all(self) -> None:
        """Every entry moves: plain AdamW with a zero gradient for what was not used."""
        self._drawn = self._every

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Equation (1) on the drawn entries."""
        (b1, b2), kept = self.betas, (self.values, self.m, self.v, self.t)
        g = self.gradients.index_select(0, self._drawn)  # (drawn,), as all below
        p, m, v, t = (state.index_select(0, self._drawn) for state in kept)
        t.add_(1)
        m.lerp_(g, 1 - b1)
        v.lerp_(g.mul_(g), 1 - b2)
        root = v.div(_missing(b2, t)).sqrt_().add_(self.eps)
        corrected = m.div(_missing(b1, t)).div_(root)
        move = corrected.add_(p, alpha=self.weight_decay)
        p.sub_(move if self._rates is None else move.mul_(self._rates[self._drawn]), alpha=learning_rate)
        for state, new in zip(kept, (p, m, v, t), strict=True):
            state.index_copy_(0, self._drawn, new)

    def state(self) -> dict[str, Tensor]:
        """All that the next step depends on: values, moments and step counts, each (entries,)."""
        return {"values": self.values, "m": self.m, "v": self.v, "t": self.t}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """The inverse of `state`, bit for bit."""
        for name, tensor in self.state().items():
            tensor.copy_(state[name])


def _each(parameters: Mapping[str, nn.Parameter], rates: Mapping[str, float]) -> Tensor:
    """(entries,) the rate of each number."""
    assert rates.keys() <= parameters.keys(), "a rate is of a parameter"
    return torch.cat(
        [torch.full_like(each.detach().reshape(-1), rates.get(name, 1.0)) for name, each in parameters.items()]
    )


def _missing(beta: float, t: Tensor) -> Tensor:
    """1 - beta^t, without cancelling where beta is near 1."""
    return (t * log(beta)).expm1_().neg_()
