"""The running average of weights."""

from __future__ import annotations

import torch

from supernet.average import Average


def test_the_average_is_the_weighted_mean_of_all_values_so_far() -> None:
    values = torch.zeros(5, dtype=torch.float64)
    average, generator = Average(values, 0.9), torch.Generator().manual_seed(0)
    expected = values.clone()
    for t in range(200):
        values.copy_(torch.randn(5, generator=generator, dtype=torch.float64))
        average.update(t)
        decay = min(0.9, (1 + t) / (10 + t))
        expected = decay * expected + (1 - decay) * values
    assert torch.allclose(average.average, expected)
    assert not torch.allclose(average.average, values)


def test_what_stands_still_is_its_own_average_and_what_starts_far_off_is_forgotten() -> None:
    values = torch.full((3,), 100.0)
    average = Average(values, 0.99)
    values.fill_(1.0)
    for t in range(1000):
        average.update(t)
    assert torch.allclose(average.average, values, atol=0.05)


def test_taking_it_writes_into_the_values_themselves() -> None:
    values = torch.zeros(3)
    average = Average(values, 0.5)
    values.fill_(8.0)
    average.update(0)
    average.take()
    assert torch.equal(values, average.average)
    assert 0 < float(values[0]) <= 8
