import copy
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from supernet.choices.glora import A
from supernet.merging import Merger, merge_into
from supernet.model import OpSite, Supernet
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


# In place


@pytest.mark.parametrize("rows", [1, 5, 16, 1000])
@pytest.mark.parametrize("product", ["elementwise", "matrix"])
def test_a_layer_merged_a_few_rows_at_a_time_is_the_layer_merged_at_once(
    pair_of: PairOf, product: Any, rows: int
) -> None:
    plain, supernet = pair_of(SpaceSettings(ranks=(4, 2), product=product))
    whole, parts = copy.deepcopy(plain), copy.deepcopy(plain)
    merger = Merger(parts, supernet)
    merger.scratch = merger.scratch.new_empty(2, 32 * rows)
    for seed in range(10):
        genome = supernet.space.draw(np.random.default_rng(seed))
        merge_into(whole, supernet, genome)
        merger.merge(genome)
        for name, value in whole.state_dict().items():
            assert_close(parts.state_dict()[name], value, name)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_one_subnet_after_another_gives_the_bits_of_the_last_alone(pair_of: PairOf, dtype: torch.dtype) -> None:
    plain, supernet = pair_of(SpaceSettings(ranks=(4, 2)), qkv_bias=False)
    one, two = (supernet.space.draw(np.random.default_rng(seed)) for seed in (1, 2))
    near = two[:-4] + one[-4:]  # shares sites with both
    first, second = (copy.deepcopy(plain).to(dtype) for _ in range(2))
    merger = Merger(first, supernet)
    for genome in (two, one, supernet.space.largest, two, near, two):
        merger.merge(genome)
    merge_into(second, supernet, two)
    assert_identical(first, second)


def test_a_lower_precision_is_rounded_to_once(pair_of: PairOf) -> None:
    plain, supernet = pair_of(SpaceSettings())
    exact, rounded = copy.deepcopy(plain).float(), copy.deepcopy(plain).to(torch.bfloat16)
    for into in (exact, rounded):
        merge_into(into, supernet.float(), supernet.space.largest)
    for path in supernet.sites:
        one, other = exact.get_submodule(path), rounded.get_submodule(path)
        assert torch.equal(one.weight.bfloat16(), other.weight), path
        assert torch.equal(one.bias.bfloat16(), other.bias), path


def test_a_layer_whose_forms_stay_as_they_were_is_not_written_again(pair_of: PairOf) -> None:
    plain, supernet = pair_of(SpaceSettings())
    merger = Merger(plain, supernet)
    forms = supernet.space.decode(supernet.space.largest)
    merger.merge(supernet.space.largest)
    for path in ("blocks.0.attn.qkv", "blocks.1.mlp.fc1"):
        plain.get_submodule(path).weight.data.fill_(7.0)
    merger.merge(supernet.space.encode({**forms, "blocks.1.mlp.fc1.E": "none"}))
    assert (plain.blocks[0].attn.qkv.weight == 7.0).all()
    assert not (plain.blocks[1].mlp.fc1.weight == 7.0).any()


def test_a_merge_that_breaks_off_is_made_again(pair_of: PairOf, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, supernet = pair_of(SpaceSettings())
    expected, merger, add = copy.deepcopy(plain), Merger(plain, supernet), A.add
    none, largest = supernet.space.encode({g.name: "none" for g in supernet.space.genes}), supernet.space.largest
    merger.merge(none)

    def breaks(*arguments: Any) -> None:
        arguments[2].merged_weight.fill_(7.0)
        raise MemoryError

    with monkeypatch.context() as broken:
        broken.setattr(A, "add", breaks)
        with pytest.raises(MemoryError):
            merger.merge(largest)
    assert A.add is add
    merger.merge(none)
    merge_into(expected, supernet, none)
    assert_identical(plain, expected)


# Kept for the next subnet


@pytest.mark.parametrize("space", ["glora", "ssf", "lora", "repadapter", "bitfit", "full"])
@pytest.mark.parametrize("room", [1, 5_000, 40_000, 2**30])
def test_what_is_kept_gives_the_numbers_that_merging_gives(pair_of: PairOf, space: str, room: int) -> None:
    plain, supernet = pair_of(SpaceSettings(name=space))
    fresh, kept = copy.deepcopy(plain), copy.deepcopy(plain)
    merger = Merger(kept, supernet, room)
    for number in (*range(8), *range(8)):
        genome = supernet.space.draw(np.random.default_rng(number))
        with torch.inference_mode():
            merger.merge(genome)
        merge_into(fresh, supernet, genome)
        for name, value in fresh.state_dict().items():
            assert_close(kept.state_dict()[name], value, name)
    assert merger.room >= 0


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_what_is_kept_does_not_depend_on_what_came_before(pair_of: PairOf, dtype: torch.dtype) -> None:
    plain, supernet = pair_of(SpaceSettings(ranks=(4, 2)), qkv_bias=False)
    genomes = [supernet.space.draw(np.random.default_rng(number)) for number in range(6)]
    models = [copy.deepcopy(plain).to(dtype) for _ in range(3)]
    for model, room, order in zip(models, (2**30, 2**30, 20_000), ((0, 1, 2, 3, 4, 5), (4, 5), (3, 2, 5)), strict=True):
        merger = Merger(model, supernet, room)
        for number in order:
            merger.merge(genomes[number])
    assert_identical(models[0], models[1])
    assert_identical(models[0], models[2])


def test_what_was_met_before_is_merged_no_more(pair_of: PairOf, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, supernet = pair_of(SpaceSettings())
    merger, genomes = Merger(plain, supernet, 2**30), [supernet.space.draw(np.random.default_rng(n)) for n in range(4)]
    for genome in genomes:
        merger.merge(genome)
    for merging in ("merge", "merge_bias"):
        monkeypatch.setattr(OpSite, merging, lambda *arguments: pytest.fail("it is merged again"))
    for genome in reversed(genomes):
        merger.merge(genome)


def test_what_was_kept_is_given_back_where_memory_is_short_and_the_next_merge_is_right(pair_of: PairOf) -> None:
    plain, supernet = pair_of(SpaceSettings())
    kept, fresh = copy.deepcopy(plain), copy.deepcopy(plain)
    merger, genomes = Merger(kept, supernet, 2**30), [supernet.space.draw(np.random.default_rng(n)) for n in range(3)]
    for genome in genomes:
        merger.merge(genome)
    merger.forget()
    assert (merger.kept, merger.room) == ({}, 0)
    for genome in (genomes[-1], genomes[0]):
        merger.merge(genome)
        merge_into(fresh, supernet, genome)
        assert_identical(kept, fresh)
    assert merger.kept == {}


def test_a_weight_that_finds_no_memory_to_be_kept_in_is_written_in_place(
    pair_of: PairOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, supernet = pair_of(SpaceSettings())
    kept, fresh = copy.deepcopy(plain), copy.deepcopy(plain)
    merger, genome = Merger(kept, supernet, 2**30), supernet.space.draw(np.random.default_rng(0))

    def full(like: Tensor) -> Tensor:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes.")

    with monkeypatch.context() as patched:
        patched.setattr(torch, "empty_like", full)
        merger.merge(genome)
    merge_into(fresh, supernet, genome)
    for name, value in fresh.state_dict().items():
        assert_close(kept.state_dict()[name], value, name)
    assert (merger.kept, merger.room) == ({}, 0)


class Made(TorchDispatchMode):
    """Notes the largest storage, in numbers, that an operation made within the context."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        given = {id_of(each) for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)}
        for each in tree_leaves(made):
            if isinstance(each, Tensor) and id_of(each) not in given:
                self.largest = max(self.largest, each.untyped_storage().nbytes() // each.element_size())
        return made


def id_of(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


@pytest.mark.parametrize("product", ["elementwise", "matrix"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_merge_makes_no_tensor_of_the_size_of_a_weight(pair_of: PairOf, product: Any, dtype: torch.dtype) -> None:
    plain, supernet = pair_of(SpaceSettings(ranks=(2,), product=product))
    merger, smallest = Merger(plain.to(dtype), supernet), 16 * 16
    genomes = [supernet.space.draw(np.random.default_rng(seed)) for seed in range(20)]
    with Made() as merging:
        for genome in (supernet.space.largest, *genomes):
            merger.merge(genome)
    with Made() as building:
        supernet.sites["blocks.0.attn.proj"].merged({"A": "lora2"})
    assert 0 < merging.largest < smallest <= building.largest


def assert_identical(one: nn.Module, two: nn.Module) -> None:
    for name, value in one.state_dict().items():
        assert torch.equal(value, two.state_dict()[name]), name
