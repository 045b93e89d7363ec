"""What earlier steps answered, as a part of the target."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from supernet.recollection import KEEP, Recollection


@pytest.fixture
def recollection() -> Recollection:
    return Recollection(6, 3, share=0.5, device=torch.device("cpu"))


def labels(*classes: int) -> Tensor:
    return torch.eye(3)[list(classes)]


def test_an_example_that_was_never_seen_has_its_label(recollection: Recollection) -> None:
    recollection.keep(torch.tensor([0]), torch.randn(1, 3))
    found = recollection.targets(torch.tensor([4, 5]), labels(1, 2), progress=0.9)
    assert torch.equal(found, labels(1, 2))


def test_at_the_start_labels_count_alone(recollection: Recollection) -> None:
    batch = torch.tensor([2])
    recollection.keep(batch, torch.randn(1, 3))
    assert torch.equal(recollection.targets(batch, labels(1), progress=0.0), labels(1))


def test_the_target_is_the_label_and_the_share_of_all_answers_by_age(recollection: Recollection) -> None:
    batch, generator = torch.tensor([3, 1]), torch.Generator().manual_seed(0)
    answers = [torch.randn(2, 3, generator=generator) for _ in range(5)]
    for logits in answers:
        recollection.keep(batch, logits)
    ages = [KEEP**age for age in range(len(answers))][::-1]
    mean = sum(age * logits.softmax(1) for age, logits in zip(ages, answers, strict=True)) / sum(ages)
    found = recollection.targets(batch, labels(0, 2), progress=0.8)
    assert torch.allclose(found, 0.6 * labels(0, 2) + 0.4 * mean, atol=1e-6)
    assert torch.allclose(found.sum(1), torch.ones(2))


def test_it_goes_on_from_its_state(recollection: Recollection) -> None:
    batch = torch.tensor([0, 5])
    recollection.keep(batch, torch.randn(2, 3))
    other = Recollection(6, 3, share=0.5, device=torch.device("cpu"))
    other.restore({name: tensor.clone() for name, tensor in recollection.state().items()})
    for each in (recollection, other):
        each.keep(batch, torch.ones(2, 3))
    wanted = [each.targets(batch, labels(0, 1), 1.0) for each in (recollection, other)]
    assert torch.equal(*wanted)
