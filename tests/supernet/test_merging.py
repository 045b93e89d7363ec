import copy
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from supernet.merging import merge_into
from supernet.model import Supernet
from supernet.settings import SpaceSettings

KINDS = list(itertools.product(["elementwise", "matrix"], ["shared", "separate"]))
MODELS = [
    {},
    {"qkv_bias": False},
    {"init_values": 0.5},
    {"proj_bias": False, "class_token": False, "global_pool": "avg"},
]
PairOf = Callable[..., tuple[VisionTransformer, Supernet]]


@pytest.mark.parametrize("arguments", MODELS)
@pytest.mark.parametrize(("product", "storage"), KINDS)
def test_the_merged_model_the_subnet_and_the_formula_by_hand_are_one(
    pair_of: PairOf,
    merged_by_hand: Callable[..., Any],
    images: Tensor,
    product: Any,
    storage: Any,
    arguments: dict[str, Any],
) -> None:
    space = SpaceSettings(ranks=(4, 2), product=product, storage=storage)
    plain, supernet = pair_of(space, **arguments)
    merged, by_hand = copy.deepcopy(plain), copy.deepcopy(plain)
    for seed in range(6):
        genome = supernet.space.draw(np.random.default_rng(seed)) if seed else supernet.space.largest
        merge_into(merged, supernet, genome)
        merge_by_hand(by_hand, plain, supernet, genome, space, merged_by_hand)
        with torch.no_grad(), supernet.active(genome):
            logits, unmerged, expected = merged(images), supernet(images), by_hand(images)
        for name, tensor in merged.state_dict().items():
            assert_close(tensor, by_hand.state_dict()[name], name)
        assert_close(logits, expected, genome)
        assert_close(unmerged, expected, genome)


def merge_by_hand(
    into: nn.Module, plain: nn.Module, supernet: Supernet, genome: str, space: SpaceSettings, formula: Any
) -> None:
    """From the plain model's own weights and the trained tensors: nothing of the supernet's sites is asked."""
    trained = {name: value.detach().numpy() for name, value in supernet.trained().items()}
    paths: dict[str, dict[str, str]] = {}
    for gene, form in supernet.space.decode(genome).items():
        path, letter = gene.rsplit(".", 1)
        paths.setdefault(path, {})[letter] = form
    state = {name: value.clone() for name, value in plain.state_dict().items()}
    for path, forms in paths.items():
        tensors = {k.removeprefix(f"{path}."): v for k, v in trained.items() if k.startswith(f"{path}.")}
        bias = state.get(f"{path}.bias")
        w, b = formula(
            state[f"{path}.weight"].numpy(), None if bias is None else bias.numpy(), forms, tensors, space.product
        )
        state[f"{path}.weight"] = torch.from_numpy(w)
        if b is not None:
            state[f"{path}.bias"] = torch.from_numpy(b)
    into.load_state_dict(state | {name: torch.tensor(trained[name]) for name in ("head.weight", "head.bias")})


def assert_close(found: Tensor, expected: Tensor, said: str) -> None:
    assert (found - expected).abs().max() <= 1e-12 * max(1.0, float(expected.abs().max())), said


def test_what_was_merged_before_leaves_no_trace(pair_of: PairOf) -> None:
    plain, supernet = pair_of(SpaceSettings(), qkv_bias=False)
    first, second = copy.deepcopy(plain), copy.deepcopy(plain)
    one, two = (supernet.space.draw(np.random.default_rng(seed)) for seed in (1, 2))
    for genome in (two, supernet.space.largest, one):
        merge_into(first, supernet, genome)
    merge_into(second, supernet, one)
    assert_identical(first, second)


def test_merging_changes_neither_the_supernet_nor_layers_without_genes(pair_of: PairOf) -> None:
    plain, supernet = pair_of(SpaceSettings(), init_values=0.5)
    before = copy.deepcopy(supernet)
    merged = copy.deepcopy(plain)
    merge_into(merged, supernet, supernet.space.largest)
    assert_identical(supernet, before)
    changed = {name for name, value in merged.state_dict().items() if not torch.equal(value, plain.state_dict()[name])}
    linears = {f"{path}.{part}" for path in supernet.sites for part in ("weight", "bias")}
    assert changed == linears | {"head.weight", "head.bias"}, "LayerScales, norms and embeddings stay"
    assert torch.equal(merged.blocks[0].ls1.gamma, plain.blocks[0].ls1.gamma)


def test_the_merged_model_has_the_backbones_layers_and_no_more(pair_of: PairOf) -> None:
    plain, supernet = pair_of(SpaceSettings())
    merged = copy.deepcopy(plain)
    merge_into(merged, supernet, supernet.space.largest)
    assert {k: v.shape for k, v in merged.state_dict().items()} == {k: v.shape for k, v in plain.state_dict().items()}
    assert all(module.weight.grad_fn is None for module in merged.modules() if isinstance(module, nn.Linear))


def assert_identical(one: nn.Module, two: nn.Module) -> None:
    for name, value in one.state_dict().items():
        assert torch.equal(value, two.state_dict()[name]), name
