"""What our figures are compared with computes the same function: the reference way, and PEFT's layers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from benchmarks import peers, plain, reference
from benchmarks.setting import Setting
from supernet.cost import near_only
from supernet.model import Supernet
from supernet.trained import Trained
from supernet.training import adapt

CLOSE = {"atol": 1e-4, "rtol": 1e-4}  # float32, sums in another order


@pytest.fixture
def supernet(setting: Setting, numbers: Trained) -> Supernet:
    supernet = adapt(setting.inputs.backbone, setting.inputs.settings.space, seed=0).eval()
    numbers.load_into(supernet)
    return supernet


@pytest.fixture
def images(setting: Setting) -> Tensor:
    return plain.normalised(setting, setting.inputs.data.val)


@pytest.fixture
def theirs(setting: Setting, numbers: Trained, tmp_path: Path) -> reference.Evaluation:
    """The reference way with the supernet's numbers."""
    inputs = setting.inputs
    model = reference.adapted(inputs.backbone, rank=4)
    state = {name: torch.tensor(array) for name, array in numbers.tensors.items()}
    assert model.load_state_dict(state, strict=False).unexpected_keys == []
    return reference.Evaluation(model, inputs.data.val, inputs.backbone, tmp_path / "images", processes=0)


@torch.no_grad()
def test_the_reference_way_computes_our_subnet_of_the_same_numbers(
    setting: Setting, supernet: Supernet, theirs: reference.Evaluation, images: Tensor
) -> None:
    seen = []
    for number in range(8):
        genome = setting.draw(number)
        reference.choose(theirs.model, supernet.forms(genome))
        with supernet.active(genome):
            seen.append(supernet(images))
        torch.testing.assert_close(theirs.model(images), seen[-1], **CLOSE)
    assert (seen[0] - seen[1]).abs().max() > 0.1, "the numbers are large enough to tell subnets apart"


def test_both_ways_score_a_candidate_alike(
    setting: Setting, numbers: Trained, supernet: Supernet, theirs: reference.Evaluation
) -> None:
    ours = setting.scoring(numbers).scorer()
    for number in range(8):
        forms = supernet.forms(setting.draw(number))
        found = theirs.score(forms)
        assert found == theirs.score_in_memory(forms) == ours.score(setting.draw(number)).accuracy


def test_the_reference_way_draws_every_form_when_it_trains(setting: Setting) -> None:
    step = peers.step("reference", setting, *_batch(setting))
    before = {name: value.clone() for name, value in step.model.state_dict().items()}
    for _ in range(12):
        step()
    moved = {name for name, value in step.model.state_dict().items() if not torch.equal(value, before[name])}
    site = "blocks.0.attn.qkv"
    assert {f"{site}.{name}" for name in ("A.down", "B.down", "C.down", "D.down", "E.down")} <= moved
    assert not {f"{site}.op.weight", f"{site}.op.bias", "patch_embed.proj.weight"} & moved
    assert "head.weight" in moved


@torch.no_grad()
def test_lora_of_peft_is_our_subnet_of_b_alone(setting: Setting, supernet: Supernet, images: Tensor) -> None:
    model = peers.lora(setting).eval()
    for path, site in supernet.sites.items():
        layer = model.get_submodule(f"base_model.model.{path}")
        factors = site.stored("B", "lora4")
        scaling = layer.scaling["default"]  # PEFT's alpha / r
        layer.lora_A["default"].weight.copy_(factors["up"])
        layer.lora_B["default"].weight.copy_(factors["down"] / scaling)
    _take_head(model, supernet)
    genes = {gene.name: "lora4" if gene.name.endswith(".B") else "none" for gene in supernet.space.genes}
    with supernet.active(supernet.space.encode(genes)):
        torch.testing.assert_close(model(images), supernet(images), **CLOSE)


@torch.no_grad()
def test_glora_of_peft_is_our_largest_subnet(setting: Setting, supernet: Supernet, images: Tensor) -> None:
    model = peers.glora(setting).eval()
    for path, site in supernet.sites.items():
        layer = model.get_submodule(f"base_model.model.{path}")
        for gene in "ABC":
            factors, there = site.stored(gene, "lora4"), getattr(layer, f"glora_{gene}")["default"]
            there.Xd.copy_(factors["down"])
            there.Xu.copy_(factors["up"])
        for gene in "DE":
            getattr(layer, f"glora_{gene}")["default"].X.copy_(site.stored(gene, "vector")["vector"])
    _take_head(model, supernet)
    with supernet.active(supernet.space.largest):
        torch.testing.assert_close(model(images), supernet(images), **CLOSE)


@pytest.mark.parametrize("name", ["glora", "reference"])
def test_peers_train_as_many_numbers_as_our_largest_subnet(name: str, setting: Setting) -> None:
    model = peers.MODELS[name](setting)
    trained = {key: value.numel() for key, value in model.named_parameters() if value.requires_grad}
    assert sum(count for key, count in trained.items() if "head" not in key) == setting.inputs.space.parameters(
        setting.inputs.space.largest
    )
    assert any("head" in key for key in trained)


def test_the_floor_is_the_gradient_of_the_images_and_nothing_else(setting: Setting) -> None:
    model = plain.frozen(setting, fused=False)
    nn.init.normal_(model.get_classifier().weight)  # type: ignore[operator]
    gradient = plain.Floor(model, *_batch(setting), setting.numerics)()
    assert gradient.shape == _batch(setting)[0].shape
    assert gradient.abs().max() > 0
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_plain_forward_is_the_same_in_every_form(setting: Setting, images: Tensor) -> None:
    model = plain.frozen(setting, fused=True)
    nn.init.normal_(model.get_classifier().weight)  # type: ignore[operator]
    whole = plain.Forward(model, images, setting.numerics, len(images))()
    torch.testing.assert_close(plain.Forward(model, images, setting.numerics, 7)(), whole, **CLOSE)
    torch.testing.assert_close(plain.Forward(model, images[:7], setting.numerics, 7)(), whole[:7], **CLOSE)


def test_our_steps_are_those_of_the_training(setting: Setting) -> None:
    found = peers.Ours(setting)
    task = near_only(setting.inputs.training(setting.numerics))
    assert found() == next(iter(task.run())).loss, "the first step, before anything has moved"


def _batch(setting: Setting) -> tuple[Tensor, Tensor]:
    split = setting.inputs.data.train
    return plain.normalised(setting, split)[:8], torch.tensor(split.labels[:8])


def _take_head(model: nn.Module, supernet: Supernet) -> None:
    model.get_submodule("base_model.model.head.modules_to_save.default").load_state_dict(supernet.head.state_dict())
