from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from supernet.optimizer import EntryAdamW

SHAPES = {"a.down": (3, 2), "a.up": (2, 4), "b": (5,), "head": (2, 2)}
RATES = [0.1, 0.05, 0.1, 0.01, 0.2, 0.02, 0.1, 0.1]


def parameters(dtype: torch.dtype = torch.float64) -> dict[str, nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return {name: nn.Parameter(torch.randn(shape, generator=generator, dtype=dtype)) for name, shape in SHAPES.items()}


def gradients(step: int, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1 + step)
    return {name: torch.randn(shape, generator=generator, dtype=dtype) for name, shape in SHAPES.items()}


def feed(into: dict[str, nn.Parameter], grads: dict[str, Tensor]) -> None:
    """As a backward pass does: it adds to whatever gradient there is."""
    sum((into[name] * grad).sum() for name, grad in grads.items()).backward()  # type: ignore[union-attr]


def flat(named: dict[str, Any]) -> Tensor:
    return torch.cat([value.detach().reshape(-1) for value in named.values()])


indices = st.sampled_from(
    [
        ("a.down", (slice(None), slice(0, 1))),
        ("a.down", (slice(0, 1), slice(0, 1))),
        ("a.down", (slice(None), slice(0, 2))),
        ("a.up", (slice(0, 1), slice(None))),
        ("b", (slice(None),)),
        ("b", (slice(0, 1),)),
    ]
)
draws = st.lists(st.lists(indices, max_size=4), min_size=1, max_size=len(RATES))


def marks(entries: list[Any], always: tuple[str, ...] = ()) -> Tensor:
    masks = {name: torch.zeros(shape, dtype=torch.bool) for name, shape in SHAPES.items()}
    for name, index in entries:
        masks[name][index] = True
    for name in always:
        masks[name][:] = True
    return flat(masks)


def run(steps: list[list[Any]], decay: float) -> Iterator[tuple[EntryAdamW, dict[str, nn.Parameter], Tensor]]:
    """(optimizer, parameters, drawn) before each step, which is taken when the next is asked for."""
    named = parameters()
    optimizer = EntryAdamW(named, weight_decay=decay)
    for step, entries in enumerate(steps):
        optimizer.zero_grad()
        feed(named, gradients(step))
        optimizer.draw(entries, always=("head",))
        yield optimizer, named, marks(entries, ("head",))
        optimizer.step(RATES[step])
    yield optimizer, named, torch.zeros(0)


@given(st.integers(1, len(RATES)), st.sampled_from([0.0, 0.3]), st.booleans())
def test_with_every_entry_drawn_it_is_torchs_adamw(steps: int, decay: float, all_at_once: bool) -> None:
    named, reference = parameters(), parameters()
    ours = EntryAdamW(named, weight_decay=decay)
    torchs = torch.optim.AdamW(reference.values(), weight_decay=decay)
    for step in range(steps):
        for parameters_, optimizer in ((named, ours), (reference, torchs)):
            optimizer.zero_grad()
            feed(parameters_, gradients(step))
        for group in torchs.param_groups:
            group["lr"] = RATES[step]
        if all_at_once:
            ours.draw_all()
        else:
            ours.draw([], always=SHAPES)
        ours.step(RATES[step])
        torchs.step()
    assert torch.allclose(flat(named), flat(reference), rtol=1e-12, atol=1e-13)


def test_in_float32_it_is_torchs_adamw_to_rounding() -> None:
    named, reference = parameters(torch.float32), parameters(torch.float32)
    ours = EntryAdamW(named, weight_decay=0.1)
    torchs = torch.optim.AdamW(reference.values(), lr=0.01, weight_decay=0.1)
    for step in range(20):
        for parameters_, optimizer in ((named, ours), (reference, torchs)):
            optimizer.zero_grad()
            feed(parameters_, gradients(step, torch.float32))
        ours.draw_all()
        ours.step(0.01)
        torchs.step()
    assert torch.allclose(flat(named), flat(reference), rtol=1e-4, atol=2e-5)


@given(draws, st.sampled_from([0.0, 0.3]))
def test_an_entry_that_is_not_drawn_keeps_its_value_moments_and_count_bit_by_bit(
    steps: list[list[Any]], decay: float
) -> None:
    before: dict[str, Tensor] = {}
    last = torch.zeros(0)
    for optimizer, named, drawn in run(steps, decay):
        now = {"value": flat(named).clone(), **{k: v.clone() for k, v in optimizer.state().items()}}
        for name, state in before.items():
            assert torch.equal(now[name][~last], state[~last]), name
            assert (now[name][last] != state[last]).all(), f"{name} of the drawn entries moved"
        before, last = now, drawn


@settings(max_examples=30)
@given(draws)
def test_each_entry_meets_torchs_adamw_of_the_steps_that_drew_it(steps: list[list[Any]]) -> None:
    """As if the other steps had not been: no decay, no coasting on old moments, no count."""
    *history, (_, named, _) = run(steps, 0.3)
    drawn = torch.stack([mark for _, _, mark in history])  # (steps, entries)
    start = flat(parameters())
    for entry, found in enumerate(flat(named)):
        alone = nn.Parameter(start[entry : entry + 1].clone())
        torchs = torch.optim.AdamW([alone], weight_decay=0.3, foreach=False)
        for step in drawn[:, entry].nonzero().flatten().tolist():
            torchs.param_groups[0]["lr"] = RATES[step]
            alone.grad = flat(gradients(step))[entry : entry + 1]
            torchs.step()
        assert torch.allclose(found, alone, rtol=1e-12, atol=1e-13)


def test_drawn_entries_are_those_of_the_last_draw() -> None:
    named = parameters()
    optimizer = EntryAdamW(named, weight_decay=0.1)
    optimizer.draw_all()
    optimizer.draw([("b", (slice(0, 1),))])
    before = flat(named).clone()
    feed(named, gradients(0))
    optimizer.step(0.1)
    assert (flat(named) != before).nonzero().flatten().tolist() == [6 + 8]


def test_gradients_and_parameters_stay_views_of_one_buffer() -> None:
    """Two backward passes add up, and zero_grad clears what every parameter sees."""
    named = parameters()
    optimizer = EntryAdamW(named, weight_decay=0.0)
    for _ in range(2):
        feed(named, gradients(0))
    for name, parameter in named.items():
        assert torch.allclose(parameter.grad, 2 * gradients(0)[name])
    optimizer.zero_grad()
    assert all(np.count_nonzero(parameter.grad) == 0 for parameter in named.values())
    assert torch.equal(flat(named), flat(parameters())), "taking them over changes no number"


def test_a_parameter_moves_by_its_own_rate_and_the_others_as_if_there_were_none() -> None:
    plain, fast = parameters(), parameters()
    before = {name: value.detach().clone() for name, value in plain.items()}
    optimizers = EntryAdamW(plain, weight_decay=0.1), EntryAdamW(fast, weight_decay=0.1, rates={"b": 5.0})
    for optimizer, named in zip(optimizers, (plain, fast), strict=True):
        feed(named, gradients(0))
        optimizer.draw([], always=SHAPES)
        optimizer.step(0.1)
    for name, value in plain.items():
        if name == "b":
            torch.testing.assert_close(fast[name] - before[name], 5 * (value - before[name]))
        else:
            assert torch.equal(fast[name], value)


def test_a_parameter_with_a_rate_decays_by_as_much_more() -> None:
    plain, fast = parameters(), parameters()
    for named, rate, learning_rate in ((plain, {}, 0.5), (fast, {"b": 5.0}, 0.1)):
        optimizer = EntryAdamW(named, weight_decay=0.1, rates=rate)
        optimizer.draw([], always=["b"])  # without a gradient
        optimizer.step(learning_rate)
    torch.testing.assert_close(plain["b"], fast["b"])
