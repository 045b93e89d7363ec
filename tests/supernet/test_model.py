import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from supernet.delta import delta_of
from supernet.errors import BadInput
from supernet.model import Supernet
from supernet.settings import SpaceSettings
from supernet.sites import linears

PairOf = Callable[..., tuple[VisionTransformer, Supernet]]
SEPARATE = SpaceSettings(ranks=(4, 2), storage="separate")
KINDS = [SpaceSettings(ranks=(4, 2)), SEPARATE, SpaceSettings(ranks=(4, 2), product="matrix")]


def drawn(supernet: Supernet, seed: int) -> str:
    return supernet.space.draw(np.random.default_rng(seed))


@torch.no_grad()
def computed(supernet: Supernet, images: Tensor) -> Tensor:
    return supernet(images)


@torch.no_grad()
def subnet(supernet: Supernet, genome: str, images: Tensor) -> Tensor:
    with supernet.active(genome):
        return supernet(images)


# The start


@pytest.mark.parametrize("space", KINDS)
@pytest.mark.parametrize("arguments", [{}, {"qkv_bias": False}, {"init_values": 0.5, "drop_path_rate": 0.3}])
def test_every_subnet_starts_out_as_the_backbone(
    vit_of: Callable[..., VisionTransformer], images: Tensor, space: SpaceSettings, arguments: dict[str, Any]
) -> None:
    """Of biases, norms and LayerScales that are random."""
    plain = vit_of(**arguments).double()
    supernet = Supernet(copy.deepcopy(plain), space, torch.Generator().manual_seed(0)).double().eval()
    with torch.no_grad():
        plain.head.load_state_dict(supernet.head.state_dict())
        expected = plain(images)
    assert supernet.head.weight.std() > 0
    for genome in [supernet.space.largest, supernet.space.smallest, *(drawn(supernet, seed) for seed in range(20))]:
        assert (subnet(supernet, genome, images) - expected).abs().max() <= 1e-12 * expected.abs().max()


def test_the_generator_decides_the_start(vit_of: Callable[..., VisionTransformer]) -> None:
    def start(seed: int) -> dict[str, Tensor]:
        return dict(Supernet(vit_of(), SpaceSettings(), torch.Generator().manual_seed(seed)).trained())

    before = torch.get_rng_state()
    first, again, other = start(1), start(1), start(2)
    assert torch.equal(torch.get_rng_state(), before), "no draw from torch's global generator"
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


# What is trained


@pytest.mark.parametrize("space", KINDS)
def test_the_supports_and_the_head_are_trained_and_nothing_else(pair_of: PairOf, space: SpaceSettings) -> None:
    plain, supernet = pair_of(space, init_values=0.5)
    trained = {id(parameter) for parameter in supernet.trained().values()}
    assert trained == {id(parameter) for parameter in supernet.parameters() if parameter.requires_grad}
    backbone = sum(parameter.numel() for name, parameter in plain.named_parameters() if not name.startswith("head."))
    frozen = sum(parameter.numel() for parameter in supernet.parameters() if not parameter.requires_grad)
    assert frozen == backbone, "the head is the only part of the model that is trained"


@pytest.mark.parametrize("space", KINDS)
def test_every_tensor_gets_a_gradient_within_a_few_draws(pair_of: PairOf, images: Tensor, space: SpaceSettings) -> None:
    _, supernet = pair_of(space)
    for seed in range(40):
        with supernet.active(drawn(supernet, seed)):
            supernet(images).square().sum().backward()
    without = [name for name, p in supernet.trained().items() if p.grad is None or not p.grad.abs().sum() > 0]
    assert without == []
    assert all(parameter.grad is None for parameter in supernet.parameters() if not parameter.requires_grad)


# The active genome


def test_the_active_genome_is_the_contexts_own(pair_of: PairOf, images: Tensor) -> None:
    _, supernet = pair_of(SEPARATE)
    outer, inner = drawn(supernet, 1), drawn(supernet, 2)
    before, of_outer, of_inner = computed(supernet, images), *(subnet(supernet, g, images) for g in (outer, inner))
    assert not torch.equal(of_outer, of_inner)
    with supernet.active(outer):
        assert torch.equal(computed(supernet, images), of_outer)
        with supernet.active(inner):
            assert torch.equal(computed(supernet, images), of_inner)
        assert torch.equal(computed(supernet, images), of_outer)
        with pytest.raises(KeyError), supernet.active(inner):
            raise KeyError
        assert torch.equal(computed(supernet, images), of_outer)
        with pytest.raises(BadInput), supernet.active(inner[:-1] + "?"):
            pass
        assert torch.equal(computed(supernet, images), of_outer)
    assert torch.equal(computed(supernet, images), before)


def test_without_an_active_genome_the_supernet_is_the_backbone(pair_of: PairOf, images: Tensor) -> None:
    plain, supernet = pair_of(SEPARATE)
    plain.head.load_state_dict(supernet.head.state_dict())
    with torch.no_grad():
        expected = plain(images)
    assert (computed(supernet, images) - expected).abs().max() <= 1e-12 * expected.abs().max()
    none = supernet.space.encode({gene.name: "none" for gene in supernet.space.genes})
    assert torch.equal(subnet(supernet, none, images), computed(supernet, images))


# The space


def test_genes_stand_in_the_order_of_sites_and_then_of_letters(pair_of: PairOf) -> None:
    plain, supernet = pair_of(SpaceSettings(), qkv_bias=False)
    names = [gene.name for gene in supernet.space.genes]
    expected = [
        f"{path}.{gene}" for path, op in linears(plain) for gene in "ABCDE" if op.bias is not None or gene in "AB"
    ]
    assert names == expected
    assert "blocks.0.attn.qkv.C" not in names, "a layer without a bias has no C, D or E"
    assert "blocks.0.attn.proj.C" in names


def test_forms_say_what_the_genome_says(pair_of: PairOf) -> None:
    _, supernet = pair_of(SEPARATE)
    genome = drawn(supernet, 5)
    forms = supernet.forms(genome)
    assert list(forms) == list(supernet.sites)
    flat = {f"{site}.{gene}": form for site, genes in forms.items() for gene, form in genes.items()}
    assert flat == {name: form for name, form in supernet.space.decode(genome).items() if form != "none"}


# Counts


@pytest.fixture(scope="module", params=range(len(KINDS)))
def counted(pair_of: PairOf, request: pytest.FixtureRequest) -> Supernet:
    return pair_of(KINDS[request.param])[1]


@given(seed=st.integers(0, 2**32))
def test_a_genome_costs_the_entries_it_marks_and_the_numbers_it_stores(counted: Supernet, seed: int) -> None:
    genome = drawn(counted, seed)
    marks = {name: torch.zeros(p.shape, dtype=torch.bool) for name, p in counted.trained().items()}
    for name, index in counted.entries(genome):
        marks[name][index] = True
    stored = {name: value for name, value in delta_of(counted, genome).items() if not name.startswith("head.")}
    marked = sum(int(mark.sum()) for mark in marks.values())
    assert counted.space.parameters(genome) == marked == sum(value.numel() for value in stored.values())


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32))
def test_a_subnet_depends_on_its_entries_alone(counted: Supernet, seed: int) -> None:
    """Numbers that a genome does not mark may be anything at all."""
    genome = drawn(counted, seed)
    inputs = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    changed = copy.deepcopy(counted)
    marks = {name: torch.zeros(p.shape, dtype=torch.bool) for name, p in changed.trained().items()}
    for name, index in changed.entries(genome):
        marks[name][index] = True
    with torch.no_grad():
        for name, parameter in changed.trained().items():
            if not name.startswith("head."):
                parameter[~marks[name]] = 1e3
    assert torch.equal(subnet(changed, genome, inputs), subnet(counted, genome, inputs))
