"""Methods of the field as genomes, each held against its own paper's formula, computed with a hook on every Linear."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from supernet.errors import BadInput
from supernet.merging import merge_into
from supernet.methods import FIXED, centre, fixed_genome, within
from supernet.model import Supernet
from supernet.settings import SpaceSettings
from supernet.sites import linears
from supernet.space import Space

PairOf = Callable[..., tuple[VisionTransformer, Supernet]]
SPACE = SpaceSettings(ranks=(4, 2), storage="shared")


def computed_by_hand(
    plain: VisionTransformer,
    supernet: Supernet,
    images: Tensor,
    layer: Callable[[nn.Linear, Tensor, Tensor, Any], Tensor],
) -> Tensor:
    """The plain model with `layer(op, x, y, supports)` in place of the output y of every Linear in its blocks."""
    model = copy.deepcopy(plain)
    model.head.load_state_dict(supernet.head.state_dict())
    trained = supernet.trained()
    for path, op in linears(model):
        supports = {k.removeprefix(f"{path}."): v for k, v in trained.items() if k.startswith(f"{path}.")}
        op.register_forward_hook(lambda op, x, y, supports=supports: layer(op, x[0], y, supports))
    with torch.no_grad():
        logits: Tensor = model(images)
    return logits


def assert_computes(supernet: Supernet, method: str, images: Tensor, expected: Tensor) -> None:
    with torch.no_grad(), supernet.active(fixed_genome(supernet.space, method)):
        logits = supernet(images)
    assert (logits - expected).abs().max() <= 1e-11 * max(1.0, float(expected.abs().max()))


def test_the_linear_probe_is_the_base_model(pair_of: PairOf, images: Tensor) -> None:
    plain, supernet = pair_of(SPACE)
    assert_computes(supernet, "linear_probe", images, computed_by_hand(plain, supernet, images, lambda op, x, y, s: y))
    assert supernet.space.parameters(fixed_genome(supernet.space, "linear_probe")) == 0


def test_lora_adds_a_low_rank_product_of_the_largest_rank(pair_of: PairOf, images: Tensor) -> None:
    plain, supernet = pair_of(SPACE)

    def layer(op: nn.Linear, x: Tensor, y: Tensor, s: dict[str, Tensor]) -> Tensor:
        return y + (x @ s["B.up"].T) @ s["B.down"].T

    assert_computes(supernet, "lora", images, computed_by_hand(plain, supernet, images, layer))
    widths = sum(op.in_features + op.out_features for _, op in linears(plain))
    assert supernet.space.parameters(fixed_genome(supernet.space, "lora")) == 4 * widths


def test_ssf_scales_and_shifts_after_every_linear(pair_of: PairOf, images: Tensor) -> None:
    """y <- gamma * y + beta, gamma from A where it meets the weight and from D where it meets the bias."""
    plain, supernet = pair_of(SPACE)
    with torch.no_grad():
        for path in supernet.sites:  # one gamma
            supernet.trained()[f"{path}.D.down"].copy_(supernet.trained()[f"{path}.A.down"][:, 0])

    def layer(op: nn.Linear, x: Tensor, y: Tensor, s: dict[str, Tensor]) -> Tensor:
        return y * (1 + s["A.down"][:, 0]) + s["E.down"]

    assert_computes(supernet, "ssf", images, computed_by_hand(plain, supernet, images, layer))


def test_bias_of_linears_moves_biases_and_only_biases(pair_of: PairOf, images: Tensor) -> None:
    plain, supernet = pair_of(SPACE)

    def layer(op: nn.Linear, x: Tensor, y: Tensor, s: dict[str, Tensor]) -> Tensor:
        return y + s["E.down"]

    assert_computes(supernet, "bias_of_linears", images, computed_by_hand(plain, supernet, images, layer))
    merged = copy.deepcopy(plain)
    merge_into(merged, supernet, fixed_genome(supernet.space, "bias_of_linears"))
    before = plain.state_dict()
    changed = {name for name, value in merged.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {f"{path}.bias" for path in supernet.sites} | {"head.weight", "head.bias"}


def test_largest_costs_as_much_as_any_genome(pair_of: PairOf) -> None:
    space = pair_of(SPACE)[1].space
    largest = fixed_genome(space, "largest")
    assert set(largest[::5]) == {"4"}
    draws = (space.draw(np.random.default_rng(seed)) for seed in range(50))
    assert max(space.parameters(genome) for genome in draws) < space.parameters(largest)


def test_methods_work_where_layers_have_no_bias(pair_of: PairOf) -> None:
    space = pair_of(SPACE, qkv_bias=False)[1].space
    for method in FIXED:
        forms = space.decode(fixed_genome(space, method))
        for name, form in forms.items():
            wanted = FIXED[method].get(name[-1], "none")
            assert form == ("lora4" if wanted == "lora" else wanted)


def test_a_method_that_the_space_cannot_say_is_refused_with_the_form_it_lacks(pair_of: PairOf) -> None:
    space = pair_of(SpaceSettings(forms={"E": ("scalar", "none"), "B": ("vector", "none")}))[1].space
    with pytest.raises(BadInput, match=r"ssf needs the form 'vector' of blocks\.0\.attn\.qkv\.E"):
        fixed_genome(space, "ssf")
    with pytest.raises(BadInput, match=r"lora needs the form 'lora' of blocks\.0\.attn\.qkv\.B"):
        fixed_genome(space, "lora")
    with pytest.raises(
        BadInput, match=r"No fixed method is named 'vpt'; there are linear_probe, .*, scaled_lora, largest\."
    ):
        fixed_genome(space, "vpt")
    with pytest.raises(BadInput, match=r"linear_probe needs the form 'none'"):
        fixed_genome(pair_of(SpaceSettings(forms={"A": ("vector",)}))[1].space, "linear_probe")


def test_a_space_without_gloras_genes_has_no_such_genomes_but_its_largest(pair_of: PairOf) -> None:
    space = pair_of(SpaceSettings(name="noah"))[1].space
    with pytest.raises(BadInput, match=r"lora as a genome of GLoRA needs its genes B; this space has adapter, lora, p"):
        fixed_genome(space, "lora")
    assert fixed_genome(space, "largest") == "AAA" * 2
    assert space.parameters(fixed_genome(space, "linear_probe")) == 0


def test_the_centre_of_a_space_is_the_first_that_it_can_say(pair_of: PairOf) -> None:
    space = pair_of(SPACE)[1].space
    assert centre(space, "auto") == fixed_genome(space, "scaled_lora")
    assert centre(space, "ssf") == fixed_genome(space, "ssf")
    unscaled = pair_of(SPACE.model_copy(update={"forms": {"A": ("none",)}}))[1].space
    assert centre(unscaled, "auto") == fixed_genome(unscaled, "lora")
    without = Space(tuple(gene for gene in space.genes if not gene.name.endswith(".B")))
    assert centre(without, "auto") == without.largest
    with pytest.raises(BadInput, match="lora"):
        centre(without, "lora")


@pytest.mark.parametrize("ranks", [(4,), (4, 2), (8, 4, 2, 1)])
def test_scaled_lora_is_every_vector_and_as_much_lora_as_lora_has_parameters(
    pair_of: PairOf, ranks: tuple[int, ...]
) -> None:
    space = pair_of(SpaceSettings(ranks=ranks))[1].space
    genome = fixed_genome(space, "scaled_lora")
    limit = space.parameters(fixed_genome(space, "lora"))
    forms = space.decode(genome)
    assert {forms[name] for name in forms if name[-1] in "AE"} == {"vector"}
    assert {forms[name] for name in forms if name[-1] in "CD"} == {"none"}
    assert space.parameters(genome) <= limit
    steps = ["none", *(f"lora{rank}" for rank in sorted(ranks))]
    products = {name: form for name, form in forms.items() if name[-1] == "B"}
    assert set(products.values()) <= set(steps)
    for name, form in products.items():
        if form != steps[-1]:  # no step more fits
            more = forms | {name: steps[steps.index(form) + 1]}
            assert space.parameters(space.encode(more)) > limit
    assert len(set(products.values())) > 1  # and it is not LoRA, which has no vectors


def test_scaled_lora_has_its_products_where_outputs_are_few(pair_of: PairOf) -> None:
    space = pair_of(SpaceSettings(ranks=(4,)))[1].space
    forms = space.decode(fixed_genome(space, "scaled_lora"))
    outputs = {gene.name: gene.by_name["vector"].parameters for gene in space.genes if gene.name[-1] == "B"}
    standing = [outputs[name] for name, form in forms.items() if name in outputs and form != "none"]
    lacking = [outputs[name] for name, form in forms.items() if name in outputs and form == "none"]
    assert standing
    assert min(lacking) >= max(standing)


def test_scaled_lora_needs_no_vector_of_b(pair_of: PairOf) -> None:
    space, whole = (pair_of(SpaceSettings(forms=forms))[1].space for forms in ({"B": ("lora4", "none")}, {}))
    assert space.decode(fixed_genome(space, "scaled_lora")) == whole.decode(fixed_genome(whole, "scaled_lora"))
    assert centre(space, "auto") == fixed_genome(space, "scaled_lora")


def test_scaled_lora_works_where_layers_have_no_bias(pair_of: PairOf) -> None:
    space = pair_of(SPACE, qkv_bias=False)[1].space
    forms = space.decode(fixed_genome(space, "scaled_lora"))
    assert "blocks.0.attn.qkv.E" not in forms
    assert forms["blocks.0.attn.qkv.A"] == "vector"


@pytest.mark.parametrize("method", ["scaled_lora", "lora", "ssf", "bias_of_linears", "linear_probe"])
def test_a_method_within_a_limit_is_itself_or_as_much_of_it_as_fits(pair_of: PairOf, method: str) -> None:
    space = pair_of(SpaceSettings(ranks=(4, 2)))[1].space
    whole = fixed_genome(space, method)
    full, forms = space.parameters(whole), space.decode(whole)
    assert within(space, method, None) == within(space, method, full) == whole
    for limit in range(0, full, 37):
        genome = within(space, method, limit)
        assert space.parameters(genome) <= limit
        kinds = {name: {form.rstrip("24"), "none"} for name, form in forms.items()}
        if method == "scaled_lora":  # it is made anew, so that a product may stand elsewhere
            kinds |= {name: {"lora", "none"} for name in kinds if name[-1] == "B"}
        found = space.decode(genome)
        assert all(found[name].rstrip("24") in kinds[name] for name in found), limit
        cheapest = min(form.parameters for gene in space.genes for form in gene.forms if form.parameters)
        assert space.parameters(genome) > 0 or limit < 64 + cheapest


def test_under_a_limit_scaled_lora_keeps_its_vectors_as_long_as_they_fit(pair_of: PairOf) -> None:
    space = pair_of(SpaceSettings(ranks=(8, 4)))[1].space
    vectors = space.parameters(
        space.encode(
            {g.name: "vector" for g in space.genes if g.name[-1] in "AE"}
            | {g.name: "none" for g in space.genes if g.name[-1] not in "AE"}
        )
    )
    forms = space.decode(within(space, "scaled_lora", vectors + 200))
    assert {forms[name] for name in forms if name[-1] in "AE"} == {"vector"}
    assert {forms[name] for name in forms if name[-1] == "B"} == {"lora4", "none"}
    assert "vector" in space.decode(within(space, "scaled_lora", vectors - 1)).values()


def test_what_cannot_be_cut_stays_above_the_limit(pair_of: PairOf) -> None:
    space = pair_of(SPACE)[1].space
    assert within(space, "largest", 100) == space.largest
    stubborn = pair_of(SPACE.model_copy(update={"forms": {"B": ("lora4",)}}))[1].space
    assert within(stubborn, "lora", 100) == fixed_genome(stubborn, "lora")
