"""GLoRA at one layer: all 432 forms (900 with two ranks), both products, both storages, held against plain numpy."""

import copy
import itertools
import pickle
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import timm
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional as F

from supernet.choices.glora import A, B, E, MatrixA
from supernet.errors import BadInput
from supernet.model import OpSite, Supernet
from supernet.reweighted import SLAB
from supernet.settings import SpaceSettings
from supernet.space import Form, Space
from supernet.spaces import choices_at

OUT, WIDTH = 9, 11  # neither divides the other, nor equals a rank
RANKS = [((4,), 432), ((8, 4), 900), ((4, 2), 900)]
KINDS = [*itertools.product(["elementwise", "matrix"], ["shared", "separate"])]
Forms = Mapping[str, str]


def space_settings(**changes: Any) -> SpaceSettings:
    return SpaceSettings(**changes)


def site_of(
    settings: SpaceSettings, bias: bool = True, start: bool = False, width: int = WIDTH, out: int = OUT
) -> OpSite:
    """A Linear of random numbers and its choices: as they start, or with every number random."""
    generator = torch.Generator().manual_seed(0)
    op = nn.Linear(width, out, bias=bias).requires_grad_(False)
    with torch.no_grad():
        for parameter in op.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    site = OpSite(op, {gene: choice for gene, choice, _ in choices_at(op, settings, generator)}).double()
    if not start:
        with torch.no_grad():
            for parameter in site.choices.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return site


def alphabets(site: OpSite, settings: SpaceSettings) -> dict[str, list[Form]]:
    found = choices_at(site.op, settings, torch.Generator())
    return {gene: list(forms) for gene, _, forms in found}


def every(site: OpSite, settings: SpaceSettings) -> Iterator[Forms]:
    """Gene -> form for each genome of the layer, genes that are `none` left out."""
    genes = alphabets(site, settings)
    for chosen in itertools.product(*([form.name for form in forms] for forms in genes.values())):
        yield {gene: form for gene, form in zip(genes, chosen, strict=True) if form != "none"}


def arrays(site: OpSite) -> dict[str, np.ndarray]:
    return {name: value.detach().numpy() for name, value in site.choices.named_parameters()}


def examples() -> Tensor:
    return torch.randn(2, 3, WIDTH, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@torch.no_grad()
def apply(site: OpSite, x: Tensor, forms: Forms) -> Tensor:
    site.forms = forms
    y: Tensor = site(x)
    return y


def assert_close(found: Any, expected: Any, said: object, scale: float = 1.0) -> None:
    """To 1e-12, relative to the numbers that were added up."""
    worst = np.abs(np.asarray(found) - np.asarray(expected)).max()
    assert worst <= 1e-12 * max(1.0, scale, np.abs(np.asarray(expected)).max()), (said, worst)


# The start


@pytest.mark.parametrize(("ranks", "count"), RANKS)
@pytest.mark.parametrize("storage", ["shared", "separate"])
@pytest.mark.parametrize("product", ["elementwise", "matrix"])
def test_every_form_starts_as_the_frozen_layer(product: str, storage: str, ranks: tuple[int, ...], count: int) -> None:
    settings = space_settings(ranks=ranks, product=product, storage=storage)
    site, x = site_of(settings, start=True), examples()
    genomes = list(every(site, settings))
    assert len(genomes) == count
    for forms in genomes:
        assert_close(apply(site, x, forms), site.op(x), forms)
        weight, bias = site.merged(forms)
        assert torch.equal(weight, site.op.weight), forms
        assert torch.equal(bias, site.op.bias), forms


def test_every_tensor_gets_a_gradient_at_the_start_or_after_a_step() -> None:
    """A factor that is zero has a gradient where the other is not, and both once one has moved."""
    settings = space_settings(storage="separate")
    site, x = site_of(settings, start=True), examples()
    moved: set[str] = set()
    for _ in range(2):
        for form in ("lora4", "vector", "scalar"):
            site.zero_grad()
            site.forms = {gene: form for gene, forms in alphabets(site, settings).items() if form in names(forms)}
            (site(x) ** 2).sum().backward()
            for name, parameter in site.choices.named_parameters():
                if parameter.grad is not None and parameter.grad.abs().sum() > 0:
                    moved.add(name)
                    parameter.data -= 0.01 * parameter.grad
    assert moved == {name for name, _ in site.choices.named_parameters()}


def names(forms: list[Form]) -> list[str]:
    return [form.name for form in forms]


# Merged equals unmerged equals the formula


@pytest.mark.parametrize(("ranks", "count"), RANKS)
@pytest.mark.parametrize(("product", "storage"), KINDS)
def test_forward_and_merge_both_compute_the_papers_formula(
    merged_by_hand: Callable[..., Any], product: str, storage: str, ranks: tuple[int, ...], count: int
) -> None:
    settings = space_settings(ranks=ranks, product=product, storage=storage)
    assert_formula(settings, merged_by_hand)


def test_raw_scales_compute_the_formula_without_a_factor(merged_by_hand: Callable[..., Any]) -> None:
    assert_formula(space_settings(scales="raw"), merged_by_hand)


@torch.no_grad()
def assert_formula(settings: SpaceSettings, merged_by_hand: Callable[..., Any]) -> None:
    site, x = site_of(settings), examples()
    w0, b0, supports = site.op.weight.numpy(), site.op.bias.numpy(), arrays(site)
    for forms in every(site, settings):
        w, b = merged_by_hand(w0, b0, forms, supports, settings.product, settings.scales)
        weight, bias = site.merged(forms)
        assert_close(weight, w, forms)
        assert_close(bias, b, forms)
        assert_close(apply(site, x, forms), x.numpy() @ w.T + b, forms, np.abs(w).max() * WIDTH)


@pytest.mark.parametrize(("product", "storage"), KINDS)
def test_a_layer_without_a_bias_merges_into_one_without_a_bias(
    merged_by_hand: Callable[..., Any], product: str, storage: str
) -> None:
    settings = space_settings(ranks=(4, 2), product=product, storage=storage)
    site, x = site_of(settings, bias=False), examples()
    genomes = list(every(site, settings))
    assert len(genomes) == 5 * 5
    assert alphabets(site, settings).keys() == {"A", "B"}, "C, D and E move a bias"
    for forms in genomes:
        w, _ = merged_by_hand(site.op.weight.numpy(), None, forms, arrays(site), product)
        weight, bias = site.merged(forms)
        assert bias is None
        assert_close(weight.detach(), w, forms)
        assert_close(apply(site, x, forms), x.numpy() @ w.T, forms, np.abs(w).max() * WIDTH)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("ranks", [(4,), (8, 4)])
@pytest.mark.parametrize(("product", "storage"), KINDS)
def test_the_gradients_are_those_of_the_merged_formula(
    product: str, storage: str, ranks: tuple[int, ...], bias: bool
) -> None:
    """Every pair of an A and a B, beside some of the others; an input that wants a gradient, and one that does not."""
    settings = space_settings(ranks=ranks, product=product, storage=storage)
    site = site_of(settings, bias=bias)
    genomes = list(every(site, settings))
    sample = genomes[::7] if bias else genomes  # 7 divides no alphabet: every pair stays
    assert {(f.get("A"), f.get("B")) for f in sample} == {(f.get("A"), f.get("B")) for f in genomes}
    for forms, wanted in itertools.product(sample, [True, False]):
        site.forms = forms
        found = gradients(site, site, wanted)
        expected = gradients(site, lambda x, forms=forms: F.linear(x, *dense(site, forms)), wanted)
        assert found.keys() == expected.keys()
        for name, gradient in found.items():
            assert_close(gradient, expected[name], (forms, name), WIDTH * OUT)


def test_raw_scales_have_the_gradients_of_the_merged_formula() -> None:
    site = site_of(space_settings(scales="raw"))
    for form in ("lora4", "vector", "scalar"):
        site.forms = {"A": "vector", "B": form}
        found, expected = (gradients(site, f, True) for f in (site, lambda x: F.linear(x, *dense(site, site.forms))))
        for name, gradient in found.items():
            assert_close(gradient, expected[name], (form, name), WIDTH * OUT)


@pytest.mark.parametrize("gain", [-1.0, -1.1, -0.9, -0.75, 3.0])
@pytest.mark.parametrize("form", ["vector", "scalar"])
@pytest.mark.parametrize("product", ["elementwise", "matrix"])
def test_a_gain_that_cannot_be_divided_by_has_its_gradient_too(product: str, form: str, gain: float) -> None:
    """1 + gain is zero, or near it, in a row, a column or everywhere: the outputs say little of W0 there."""
    site = site_of(space_settings(scales="raw", product=product))
    with torch.no_grad():
        dict(site.choices["A"].named_parameters())[form].view(-1)[0] = gain
    for forms in ({"A": form}, {"A": form, "B": "lora4"}, {"A": form, "B": "vector", "E": "vector"}):
        site.forms = forms
        assert site.choices["A"].terms(form, site.op.weight, site.op.bias).gain.flatten()[0] == gain
        for wanted in (True, False):
            functions = (site, lambda x, forms=forms: F.linear(x, *dense(site, forms)))
            found, expected = (gradients(site, function, wanted) for function in functions)
            for name, gradient in found.items():
                assert_close(gradient, expected[name], (forms, name), WIDTH * OUT)


@pytest.mark.parametrize("bias", [True, False])
def test_choices_of_any_kind_add_at_one_layer(bias: bool) -> None:
    """A site knows no letters: gains by row and by column, two low-rank shifts and a shift of the bias side by side."""
    settings, generator = space_settings(), torch.Generator().manual_seed(4)
    kinds = {"rows": A, "columns": MatrixA, "one": B, "two": B} | ({"bias": E} if bias else {})
    choices = {name: kind(OUT, WIDTH, settings, generator) for name, kind in kinds.items()}
    site = OpSite(site_of(settings, bias=bias).op, choices).double()
    with torch.no_grad():
        for parameter in site.choices.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    for forms in itertools.product(*([form.name for form in choice.forms] for choice in choices.values())):
        site.forms = {gene: form for gene, form in zip(choices, forms, strict=True) if form != "none"}
        found, expected = (gradients(site, f, True) for f in (site, lambda x: F.linear(x, *dense(site, site.forms))))
        for name, gradient in found.items():
            assert_close(gradient, expected[name], (forms, name), WIDTH * OUT)


@pytest.mark.parametrize("count", [1, SLAB, 2 * SLAB + 5])
@pytest.mark.parametrize("form", ["vector", "scalar"])
@pytest.mark.parametrize("product", ["elementwise", "matrix"])
def test_the_gradients_are_those_of_the_merged_formula_for_any_number_of_tokens(
    product: str, form: str, count: int
) -> None:
    site = site_of(space_settings(product=product))
    site.forms = {"A": form, "B": "lora4", "E": "vector"}
    functions = (site, lambda x: F.linear(x, *dense(site, site.forms)))
    found, expected = (gradients(site, function, True, count) for function in functions)
    for name, gradient in found.items():
        assert_close(gradient, expected[name], name, WIDTH * OUT * count)


def dense(site: OpSite, forms: Forms) -> tuple[Tensor, Tensor | None]:
    """Equation (1) of model.py, left to autograd."""
    weight, bias = site.op.weight, site.op.bias
    for gene, form in forms.items():
        dw, db = site.choices[gene].delta(form, site.op.weight, site.op.bias)
        weight = weight if dw is None else weight + dw
        bias = bias if db is None else bias + db
    return weight, bias


def gradients(
    site: OpSite, function: Callable[[Tensor], Tensor], wanted: bool, count: int | None = None
) -> dict[str, Tensor]:
    """Of an uneven loss, by every parameter that has one, and by the input where it is wanted. `count`: of tokens."""
    site.zero_grad(set_to_none=True)
    x = examples() if count is None else torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(1)).double()
    x.requires_grad_(wanted)
    y = function(x)
    if y.requires_grad:
        (y * torch.linspace(-1, 2, y.numel(), dtype=y.dtype).view(y.shape)).sum().backward()
    found = {name: parameter.grad for name, parameter in [*site.choices.named_parameters(), ("x", x)]}
    return {name: gradient for name, gradient in found.items() if gradient is not None}


@pytest.mark.parametrize("product", ["elementwise", "matrix"])
def test_in_bfloat16_outputs_and_gradients_are_those_of_float32_to_rounding(product: str) -> None:
    settings = space_settings(product=product)
    site, x = site_of(settings).float(), examples().float()
    for forms in itertools.islice(every(site, settings), 0, None, 7):
        site.forms = forms
        found: list[list[Tensor]] = []
        for enabled in (False, True):
            site.zero_grad(set_to_none=True)
            inputs = x.clone().requires_grad_()
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
                y = site(inputs)
            assert y.dtype == (torch.bfloat16 if enabled else torch.float32)
            (y.float() * torch.linspace(1, 2, y.numel()).view(y.shape)).sum().backward()
            found.append([y.float(), inputs.grad, *(p.grad for p in site.choices.parameters() if p.grad is not None)])
        for exact, rounded in zip(*found, strict=True):
            assert rounded.dtype == torch.float32, forms
            assert (exact - rounded).norm() <= 0.03 * max(exact.norm(), x.norm()), forms  # a sum may cancel


@pytest.mark.parametrize(
    "forms",
    [{"A": "scalar"}, {"A": "vector"}, {"B": "lora4"}, {"B": "vector"}, {"A": "vector", "B": "lora4", "E": "vector"}],
    ids=str,
)
def test_in_bfloat16_a_small_change_of_the_weight_arrives_whole(forms: Forms) -> None:
    """One below the spacing of the weight's own rounded numbers, as those of a training's first steps are."""
    site = site_of(space_settings(), width=256, out=256).float()
    with torch.no_grad():
        for name, parameter in site.choices.named_parameters():
            parameter.mul_({"A.scalar": 1e-3, "A.vector": 1e-3, "B.vector": 0.3, "E.vector": 0}.get(name, 0.01))
    x = torch.randn(512, 256, generator=torch.Generator().manual_seed(1)).bfloat16().float()
    exact = apply(site, x, forms) - apply(site, x, {})
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = apply(site, x, forms).float() - apply(site, x, {}).float()
    share = float((found * exact).sum() / exact.square().sum())
    assert exact.norm() < 2**-8 * apply(site, x, {}).norm()
    assert share == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("forms", [{"A": "vector"}, {"A": "vector", "B": "lora4", "E": "vector"}], ids=str)
def test_in_bfloat16_a_bias_far_above_the_products_leaves_the_gain_its_gradient(forms: Forms) -> None:
    """The gradient is of the products alone: what a sum over tokens has of the bias must go before it is rounded."""
    site = site_of(space_settings(), width=256, out=96)
    with torch.no_grad():
        dict(site.choices["A"].named_parameters())["vector"].mul_(0.1)  # else its gradient takes another way
        site.op.bias.mul_(10 * apply(site, torch.randn(64, 256).double(), {}).std() / site.op.bias.std())
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(3000, 256, generator=generator).double()
    downstream = torch.randn(3000, 96, generator=generator).double() + 0.3
    (exact, rounded) = (
        gain_gradient(each, x.to(dtype), downstream, forms)
        for each, dtype in ((site, torch.float64), (copy.deepcopy(site).float(), torch.float32))
    )
    assert (exact - rounded).norm() <= 0.03 * exact.norm()


def gain_gradient(site: OpSite, x: Tensor, downstream: Tensor, forms: Forms) -> Tensor:
    """Of A's vector, in float64; where the site is of float32, of a forward and backward pass in bfloat16."""
    site.forms = forms
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=x.dtype == torch.float32):
        y = site(x)
    (y.double() * downstream).sum().backward()
    return dict(site.choices["A"].named_parameters())["vector"].grad.double()


def test_a_layer_keeps_its_input_for_the_backward_pass_only_where_a_gradient_asks_for_it() -> None:
    settings = space_settings()
    site, x = site_of(settings), examples().requires_grad_()
    for forms in every(site, settings):
        site.forms = forms
        kept = kept_by(site, x)
        asks = forms.get("A") in ("lora4", "scalar") or forms.get("B") == "lora4"
        assert any(tensor.data_ptr() == x.data_ptr() for tensor in kept) == asks, forms
        outputs = [tensor for tensor in kept if tensor.numel() == x.numel() // WIDTH * OUT]
        assert len(outputs) == (forms.get("A") == "vector"), forms


def kept_by(site: OpSite, x: Tensor) -> list[Tensor]:
    """What the forward pass saves for the backward pass."""
    kept: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        site(x)
    return kept


def test_a_copied_or_pickled_layer_computes_the_same() -> None:
    site, x = site_of(space_settings()), examples()
    forms = {"A": "vector", "B": "lora4", "E": "scalar"}
    for other in (copy.deepcopy(site), pickle.loads(pickle.dumps(site))):
        assert torch.equal(apply(other, x, forms), apply(site, x, forms))
        assert other.state_dict().keys() == site.state_dict().keys()


def test_the_prompt_is_seen_through_the_original_weight() -> None:
    """The LLM fork's mistake: W @ C with a W that A and B have already changed."""
    settings = space_settings()
    site = site_of(settings)
    _, alone = site.merged({"C": "lora4"})
    _, beside = site.merged({"A": "lora4", "B": "vector", "C": "lora4"})
    assert alone is not None
    assert beside is not None
    assert torch.equal(alone, beside)


def test_no_form_of_a_gene_is_another_in_disguise() -> None:
    """With random supports all 432 compute something else."""
    settings = space_settings()
    site, x = site_of(settings), examples()
    outputs = {apply(site, x, forms).numpy().round(9).tobytes() for forms in every(site, settings)}
    assert len(outputs) == 432


def test_merging_leaves_the_layer_and_its_supports_as_they_were() -> None:
    settings = space_settings()
    site = site_of(settings)
    before = {name: value.clone() for name, value in site.state_dict().items()}
    weight, bias = site.merged({})
    assert bias is not None
    with torch.no_grad():
        for forms in every(site, settings):
            for merged in site.merged(forms):
                assert merged is not None
                merged.fill_(7.0)
        weight.zero_()
        bias.zero_()
    assert all(torch.equal(value, before[name]) for name, value in site.state_dict().items())


# Counts and storage


@pytest.mark.parametrize(("ranks", "count"), RANKS)
@pytest.mark.parametrize("storage", ["shared", "separate"])
@pytest.mark.parametrize("product", ["elementwise", "matrix"])
def test_a_form_costs_the_entries_it_uses_and_the_numbers_it_stores(
    product: str, storage: str, ranks: tuple[int, ...], count: int
) -> None:
    settings = space_settings(ranks=ranks, product=product, storage=storage)
    site = site_of(settings)
    for gene, forms in alphabets(site, settings).items():
        rows = WIDTH if gene == "C" or (gene, product) == ("A", "matrix") else OUT
        columns = 1 if gene == "C" else WIDTH
        costs = {"vector": rows, "scalar": 1, "none": 0} | {f"lora{r}": r * (rows + columns) for r in ranks}
        for form in forms:
            assert form.parameters == costs[form.name], (gene, form)
            assert len(entries(site, gene, form.name)) == form.parameters, (gene, form)
            stored = site.stored(gene, form.name)
            assert sum(value.numel() for value in stored.values()) == form.parameters, (gene, form)


def entries(site: OpSite, gene: str, form: str) -> set[tuple[str, int]]:
    """(parameter, flat index) of each number the form uses."""
    found = set()
    parameters = dict(site.choices[gene].named_parameters())
    for name, index in site.entries(gene, form):
        marked = torch.zeros(parameters[name].shape, dtype=torch.bool)
        marked[index] = True
        found |= {(name, int(i)) for i in marked.flatten().nonzero()}
    return found


@pytest.mark.parametrize("storage", ["shared", "separate"])
def test_the_entries_of_a_form_are_exactly_those_that_its_output_depends_on(storage: str) -> None:
    settings = space_settings(ranks=(4, 2), storage=storage)
    site, x = site_of(settings), examples()
    for gene, forms in alphabets(site, settings).items():
        for form in names(forms):
            site.zero_grad(set_to_none=True)
            site.forms = {} if form == "none" else {gene: form}
            (site(x) ** 2 + 0 * sum(p.sum() for p in site.choices[gene].parameters())).sum().backward()
            used = {
                (name, int(i))
                for name, parameter in site.choices[gene].named_parameters()
                for i in parameter.grad.flatten().nonzero()
            }
            assert used == entries(site, gene, form), (gene, form)


def test_ranks_nest() -> None:
    for storage, (large, small) in itertools.product(["shared", "separate"], [((8, 4), 4), ((4, 2), 2)]):
        site = site_of(space_settings(ranks=large, storage=storage))
        for gene in "ABC":
            assert entries(site, gene, f"lora{small}") < entries(site, gene, f"lora{max(large)}")


def test_shared_storage_nests_vector_and_scalar_and_separate_storage_keeps_them_apart() -> None:
    shared, separate = (site_of(space_settings(ranks=(4, 2), storage=kind)) for kind in ("shared", "separate"))
    for gene, larger in (("A", "lora2"), ("B", "lora2"), ("C", "lora2"), ("D", "vector"), ("E", "vector")):
        if larger != "vector":
            assert entries(shared, gene, "vector") < entries(shared, gene, larger)
            assert not entries(separate, gene, "vector") & entries(separate, gene, "lora4")
        if gene != "C":
            assert entries(shared, gene, "scalar") < entries(shared, gene, "vector")
            for other in ("vector", larger):
                assert not entries(separate, gene, "scalar") & entries(separate, gene, other)


def vit_b(rank: int) -> Space:
    """The space of a ViT-B/16, whose 86 million weights are never allocated."""
    with torch.device("meta"):
        model = timm.create_model("vit_base_patch16_224", num_classes=10)
        return Supernet(model, SpaceSettings(ranks=(rank,)), torch.Generator()).space


@pytest.mark.parametrize(("rank", "maximal", "mean"), [(2, 0.885, 0.309), (4, 1.604, 0.499), (8, 3.042, 0.880)])
def test_the_counts_of_a_vit_b_are_the_references(rank: int, maximal: float, mean: float) -> None:
    """In millions, to the digits that glora-reference.md gives."""
    space = vit_b(rank)
    assert len(space.genes) == 48 * 5
    assert space.size == 432**48
    assert space.parameters(space.largest) / 1e6 == pytest.approx(maximal, abs=5e-4)
    uniform = sum(sum(form.parameters for form in gene.forms) / len(gene.forms) for gene in space.genes)
    assert uniform / 1e6 == pytest.approx(mean, abs=5e-4)
    assert space.parameters(space.smallest) == 0


def test_the_largest_subnet_of_a_vit_b_at_rank_4_has_1603776_parameters() -> None:
    assert vit_b(4).parameters(vit_b(4).largest) == 1_603_776


# What a person restricts


def test_forms_restrict_an_alphabet_and_nothing_else() -> None:
    whole = alphabets(site_of(space_settings()), space_settings())
    settings = space_settings(forms={"A": ["none"], "B": ["none", "lora4"]})
    some = alphabets(site_of(settings), settings)
    assert names(some["A"]) == ["none"]
    assert names(some["B"]) == ["lora4", "none"], "in the gene's own order"
    assert {gene: some[gene] for gene in "CDE"} == {gene: whole[gene] for gene in "CDE"}
    assert {form.name: form for form in some["B"]}.items() <= {form.name: form for form in whole["B"]}.items()


@pytest.mark.parametrize(
    ("forms", "said"),
    [
        ({"B": ["lora8"]}, r"space\.forms\.B names 'lora8'; B has the forms lora4, vector, scalar, none"),
        ({"C": ["scalar"]}, r"space\.forms\.C names 'scalar'; C has the forms lora4, vector, none"),
        ({"D": []}, r"space\.forms\.D is empty; name at least one of vector, scalar, none"),
    ],
)
def test_a_form_that_a_gene_lacks_is_refused_with_those_it_has(forms: dict[str, list[str]], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        site_of(space_settings(forms=forms))


def test_ranks_are_different_and_positive_and_letters_stay_unique() -> None:
    for ranks in ((), (4, 4), (0,), (-1,)):
        with pytest.raises(ValidationError):
            SpaceSettings(ranks=ranks)
    site = site_of(SpaceSettings(ranks=(1, 9, 10, 11)), width=16, out=16)
    for forms in alphabets(site, SpaceSettings(ranks=(1, 9, 10, 11))).values():
        assert len({form.letter for form in forms}) == len(forms)
        assert all(len(form.letter) == 1 and form.letter.isprintable() for form in forms)


def test_a_rank_above_what_a_layer_holds_is_refused() -> None:
    assert "lora6" in {
        form.name
        for form in alphabets(site_of(SpaceSettings(ranks=(6,)), width=6, out=9), SpaceSettings(ranks=(6,)))["A"]
    }
    with pytest.raises(BadInput, match="a rank above 6 adds nothing there"):
        site_of(SpaceSettings(ranks=(7, 2)), width=6, out=9)
