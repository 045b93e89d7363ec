"""A running average of the weights, kept beside them and handed on in their place.

    average <- average + (1 - decay_t) (values - average),   decay_t = min(decay, (1 + t) / (10 + t))        (1)

with t the steps that are done: it forgets its start quickly, and then looks back over about 1 / (1 - decay) steps. A
step moves what its few subnets need; the average is what many of them need. Source: Polyak and Juditsky 1992; the
warm-up of the decay is TensorFlow's `ExponentialMovingAverage`.
"""

from __future__ import annotations

import torch
from torch import Tensor


class Average:
    """Of a flat buffer of values."""

    def __init__(self, values: Tensor, decay: float) -> None:
        self.values, self.decay = values, decay
        self.average = values.clone()  # (entries,)

    @torch.no_grad()
    def update(self, t: int) -> None:
        """Equation (1), after step t."""
        self.average.lerp_(self.values, 1 - min(self.decay, (1 + t) / (10 + t)))

    def take(self) -> None:
        """Let the values be the average."""
        self.values.copy_(self.average)
