"""The classifier starts as a linear probe of the training split."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from supernet.head_start import PENALTIES, start_head


def clouds(spread: float, count: int = 120) -> tuple[Tensor, Tensor]:
    """(count, 8) features about three centres, and their labels."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % 3
    centres = torch.randn(3, 8, generator=generator, dtype=torch.float64)
    return 50 * (centres[labels] + spread * torch.randn(count, 8, generator=generator, dtype=torch.float64)), labels


def started(inputs: Tensor, labels: Tensor, seed: int = 0) -> nn.Linear:
    head = nn.Linear(8, 3)
    start_head(head, inputs, labels, torch.randperm(len(inputs), generator=torch.Generator().manual_seed(seed)))
    return head


def loss(head: nn.Linear, inputs: Tensor, labels: Tensor) -> float:
    return float(F.cross_entropy(head(inputs.float()), labels).detach())


@pytest.mark.parametrize("spread", [0.1, 1.0])
def test_the_head_tells_apart_what_it_has_not_seen(spread: float) -> None:
    inputs, labels = clouds(spread, 240)
    head = started(inputs[:120], labels[:120])
    assert loss(head, inputs[120:], labels[120:]) < 0.8 * torch.log(torch.tensor(3.0))


def test_its_penalised_loss_is_a_minimum() -> None:
    """For one of the penalties no direction leads down: the gradient of equation (1) is nearly zero."""
    inputs, labels = clouds(1.0)
    head = started(inputs, labels)
    scale = inputs.std()
    weight = (head.weight.detach().double() * scale).requires_grad_()
    fitted = F.cross_entropy(inputs / scale @ weight.T + head.bias.detach().double(), labels)
    (slope,) = torch.autograd.grad(fitted, weight)
    flattest = min(float((slope + penalty * weight).detach().abs().max()) for penalty in PENALTIES)
    assert flattest < 1e-3
    assert float(slope.abs().max()) > flattest


def test_it_does_not_learn_noise_by_heart() -> None:
    """Labels at random: the penalty chosen on held-out folds keeps the answers near the classes' shares."""
    inputs, labels = clouds(1.0)
    shuffled = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(1))]
    head = started(inputs, shuffled)
    assert loss(head, inputs, shuffled) > 0.9 * torch.log(torch.tensor(3.0))


def test_it_is_a_function_of_its_arguments() -> None:
    inputs, labels = clouds(0.5)
    one, other = started(inputs, labels), started(inputs, labels)
    assert torch.equal(one.weight, other.weight)
    assert torch.equal(one.bias, other.bias)
