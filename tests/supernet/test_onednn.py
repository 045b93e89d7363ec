"""Linears in oneDNN's own kernels: the numbers of torch's calls, from weights that lie elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from supernet import onednn
from supernet.backbone import Backbone
from supernet.merging import Merger
from supernet.model import Supernet
from supernet.numerics import Numerics
from supernet.onednn import OneDnnLinear, share_weight
from supernet.plain import forward, plain_model
from supernet.settings import SpaceSettings
from supernet.training import adapt

pytestmark = pytest.mark.skipif(not onednn.works(), reason="this torch has no such kernels here")


def linear(width: int, out: int, *, bias: bool = True, seed: int = 0) -> nn.Linear:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Linear(width, out, bias=bias).to(torch.bfloat16).requires_grad_(False)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(7, 64), (3, 17, 64), (1, 1, 64)])
@torch.inference_mode()
def test_it_computes_what_torchs_own_call_computes(shape: tuple[int, ...], bias: bool) -> None:
    op, x = linear(64, 96, bias=bias), torch.randn(shape, generator=torch.Generator().manual_seed(1))
    found = OneDnnLinear(op)(x)
    assert found.dtype == torch.bfloat16
    assert torch.allclose(found.float(), F.linear(x.bfloat16(), op.weight, op.bias).float(), rtol=0.01, atol=1e-3)


@torch.inference_mode()
def test_the_gelu_behind_it_is_the_exact_one_and_rounded_once() -> None:
    op, x = linear(64, 96), 4 * torch.randn(200, 64, generator=torch.Generator().manual_seed(1)).bfloat16()
    ours = OneDnnLinear(op)
    ours.gelu = True
    exact = F.gelu(F.linear(x.double(), op.weight.double(), op.bias.double()))
    twice = F.gelu(F.linear(x, op.weight, op.bias))
    assert (ours(x) - exact).abs().mean() < (twice - exact).abs().mean()
    assert torch.allclose(ours(x).double(), exact, rtol=0.01, atol=1e-4), "tanh is further away"


def test_an_answer_that_is_not_torchs_is_not_relied_on(monkeypatch: pytest.MonkeyPatch) -> None:
    unasked, linear = onednn.works.__wrapped__, onednn.linear
    assert unasked()
    monkeypatch.setattr(onednn, "linear", lambda *given, gelu: linear(*given, gelu=False))
    assert not unasked(), "no GELU"
    monkeypatch.setattr(onednn, "linear", lambda x, weight, bias, gelu: linear(x, weight, None, gelu=gelu))
    assert not unasked(), "no bias"


@pytest.mark.parametrize("error", [AttributeError, RuntimeError])
def test_a_torch_without_the_ops_is_not_asked_for_them(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    def lacks(*given: Any) -> None:
        raise error("'_OpNamespace' 'mkldnn' object has no attribute '_reorder_linear_weight'")

    monkeypatch.setattr(onednn, "packed", lacks)
    assert not onednn.works.__wrapped__()


@torch.inference_mode()
def test_weights_that_share_memory_still_compute_their_own_numbers() -> None:
    ops = nn.ModuleList(OneDnnLinear(linear(64, out, seed=out)) for out in (32, 96, 64))
    x = torch.randn(5, 64)
    before = [op(x) for op in ops]
    share_weight(ops)
    assert len({op.weight.data_ptr() for op in ops}) == 1
    assert [op.weight.shape for op in ops] == [(32, 64), (96, 64), (64, 64)]
    assert all(torch.equal(op(x), known) for op, known in zip(ops, before, strict=True))


# Merging


@pytest.fixture
def computing(numerics: Numerics) -> Numerics:
    return replace(numerics, precision="bfloat16", kernels="onednn")


@pytest.fixture
def supernet_of(backbone: Backbone, trained_of: Callable[..., Any]) -> Callable[[str], Supernet]:
    def supernet_of(name: str) -> Supernet:
        space = SpaceSettings(name=name)
        supernet = adapt(backbone, space, seed=0).eval()
        trained_of(backbone, space).load_into(supernet)
        return supernet

    return supernet_of


@pytest.fixture
def images(backbone: Backbone) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(4, 3, backbone.image_size, backbone.image_size, generator=generator)


@pytest.mark.parametrize("room", [0, 20_000, 2**30])
@pytest.mark.parametrize("space", ["glora", "lora", "full"])
def test_merging_into_them_gives_the_numbers_of_merging_into_torchs(
    backbone: Backbone,
    computing: Numerics,
    supernet_of: Callable[[str], Supernet],
    images: Tensor,
    space: str,
    room: int,
) -> None:
    supernet, torchs = supernet_of(space), replace(computing, kernels="lean")
    plain, ours = plain_model(backbone, torchs), plain_model(backbone, computing)
    one, two = Merger(plain, supernet), Merger(ours, supernet, room)
    seen = list[Tensor]()
    for number in (*range(4), *range(4)):
        genome = supernet.space.draw(np.random.default_rng(number))
        for merger in (one, two):
            merger.merge(genome)
        expected, found = forward(plain, images, torchs), forward(ours, images, computing)
        assert (found - expected).norm() <= 0.03 * expected.norm()
        seen.append(found)
    assert all(torch.equal(first, again) for first, again in zip(seen[:4], seen[4:], strict=True))
    assert (room == 0) == (two.kept == {})


@pytest.fixture
def merging(
    backbone: Backbone, computing: Numerics, supernet_of: Callable[[str], Supernet], images: Tensor
) -> tuple[Merger, str, str, Callable[[], Tensor]]:
    """(a merger with room, two genomes, the logits of what it merged last)"""
    supernet, ours = supernet_of("glora"), plain_model(backbone, computing)
    one, two = (supernet.space.draw(np.random.default_rng(number)) for number in (0, 1))
    return Merger(ours, supernet, 2**30), one, two, lambda: forward(ours, images, computing)


def test_what_was_kept_is_given_back_and_the_next_merge_is_right(
    merging: tuple[Merger, str, str, Callable[[], Tensor]],
) -> None:
    merger, one, two, logits = merging
    merger.merge(one)
    known = logits()
    merger.merge(two)
    merger.forget()
    merger.merge(one)
    assert torch.equal(logits(), known)
    assert (merger.kept, merger.room) == ({}, 0)


def test_where_memory_is_short_a_weight_is_packed_once_what_was_kept_is_given_back(
    merging: tuple[Merger, str, str, Callable[[], Tensor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    merger, one, two, logits = merging
    merger.merge(two)
    known = logits()
    merger.merge(one)
    merger.forget()
    merger.room, calls = 2**30, list[int]()

    def full_once(weight: Tensor) -> Tensor:
        calls.append(len(merger.kept))
        if len(calls) == 3:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 B.")
        return onednn.packed(weight)

    monkeypatch.setattr("supernet.merging.packed", full_once)
    merger.merge(two)
    assert torch.equal(logits(), known)
    assert calls[2] > 0
    assert (merger.kept, merger.room, calls[3]) == ({}, 0, 0)
