"""AdamW by entry: what was not drawn in a step is bit-identical after it.

    m <- b1 m + (1 - b1) g,   v <- b2 v + (1 - b2) g^2,   t <- t + 1
    p <- p - lr * (m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps) + decay * p)                (1)

for the drawn entries only, each with its own step count t. Forms share tensors, so the unit is an entry (a number),
not a tensor: a step that drew only the vector of a support must neither decay nor coast its other columns.
All parameters lie in one flat buffer, so that (1) is a dozen operations however many supports there are.
Source: AdamW (Loshchilov and Hutter, arXiv 1711.05101), algorithm 2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

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
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        self.weight_decay, self.betas, self.eps = weight_decay, betas, eps
        tensors = [parameter.detach().reshape(-1) for parameter in parameters.values()]
        self.values = torch.cat(tensors)  # (entries,)
        self.gradients, self.m, self.v, self.t = (torch.zeros_like(self.values) for _ in range(4))
        self.mask = torch.zeros_like(self.values, dtype=torch.bool)
        self._mask_of: dict[str, Tensor] = {}
        start = 0
        for name, parameter in parameters.items():
            part = slice(start, start + parameter.numel())
            parameter.data = self.values[part].view(parameter.shape)
            parameter.grad = self.gradients[part].view(parameter.shape)
            self._mask_of[name] = self.mask[part].view(parameter.shape)
            start = part.stop

    def zero_grad(self) -> None:
        """Before each backward pass. Gradients stay views of the flat buffer."""
        self.gradients.zero_()

    def draw(self, entries: Iterable[tuple[str, Index]], always: Iterable[str] = ()) -> None:
        """Name the entries that the next step moves: slices of parameters, and whole parameters."""
        self.mask.zero_()
        for name, index in entries:
            self._mask_of[name][index] = True
        for name in always:
            self._mask_of[name].fill_(True)

    def draw_all(self) -> None:
        """Every entry moves: plain AdamW with a zero gradient for what was not used."""
        self.mask.fill_(True)

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Equation (1) on the drawn entries."""
        (b1, b2), g, drawn = self.betas, self.gradients, self.mask
        t = self.t + 1
        m = torch.lerp(self.m, g, 1 - b1)
        v = torch.lerp(self.v, g * g, 1 - b2)
        corrected = (m / (1 - b1**t)) / ((v / (1 - b2**t)).sqrt_() + self.eps)
        moved = self.values - learning_rate * (corrected + self.weight_decay * self.values)
        for state, new in ((self.t, t), (self.m, m), (self.v, v), (self.values, moved)):
            torch.where(drawn, new, state, out=state)

    def state(self) -> dict[str, Tensor]:
        """All that the next step depends on: values, moments and step counts, each (entries,)."""
        return {"values": self.values, "m": self.m, "v": self.v, "t": self.t}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """The inverse of `state`, bit for bit."""
        for name, tensor in self.state().items():
            tensor.copy_(state[name])
