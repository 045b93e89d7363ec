"""What earlier steps answered for each training example, as a part of its target: temporal ensembling.

    sum_i <- k sum_i + (1 - k) softmax(z_i),   weight_i <- k weight_i + (1 - k)
    target_i = (1 - s_t) label_i + s_t sum_i / weight_i,   s_t = share * t / steps                 (1)

for the examples i of step t, z_i being their logits under the step's subnet. Each step has another subnet, so that this
is an ensemble over subnets and time, at no cost but (examples, classes) numbers. It grows into the target, since what
the first steps answer is worth little. An example that no step has seen has its label alone.
Source: Laine and Aila, arXiv 1610.02242 (k = 0.6); in PACE (Ni et al., NeurIPS 2024) it is the cheap variant.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

KEEP = 0.6  # k


class Recollection:
    """Of a training split's examples."""

    def __init__(self, examples: int, classes: int, share: float, device: torch.device) -> None:
        self.share = share
        self.sums = torch.zeros(examples, classes, device=device)
        self.weights = torch.zeros(examples, 1, device=device)

    def targets(self, batch: Tensor, labels: Tensor, progress: float) -> Tensor:
        """batch (k,) indices, labels (k, classes) probabilities, progress t / steps -> (k, classes): equation (1)."""
        weights = self.weights[batch]
        known = self.sums[batch] / weights.clamp(min=1e-12)
        return torch.where(weights > 0, labels.lerp(known, self.share * progress), labels)

    @torch.no_grad()
    def keep(self, batch: Tensor, logits: Tensor) -> None:
        """logits (k, classes) of the examples."""
        self.sums[batch] = self.sums[batch].mul(KEEP).add(logits.float().softmax(dim=1), alpha=1 - KEEP)
        self.weights[batch] = self.weights[batch].mul(KEEP).add(1 - KEEP)

    def state(self) -> dict[str, Tensor]:
        """All that the next step depends on."""
        return {"answers": self.sums, "answer_weights": self.weights}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """The inverse of `state`."""
        for name, tensor in self.state().items():
            tensor.copy_(state[name])
