"""Backbones that are no plain Vision Transformer: ops can be chosen there as anywhere, and nothing else."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from supernet.backbone import Backbone, build, load_backbone
from supernet.data import Split
from supernet.errors import BadInput
from supernet.evaluation import ScoringTask
from supernet.export import Subnet, export
from supernet.exported import load_export
from supernet.families import FAMILIES, family_of, without_choice
from supernet.merging import merge_into
from supernet.methods import fixed_genome
from supernet.numerics import Numerics
from supernet.settings import BackboneSettings, SpaceSettings, TrainingSettings
from supernet.sites import OPS, places
from supernet.trained import Trained
from supernet.training import TrainingTask, adapt
from supernet.verification import verify
from tests.supernet import small_models

BackboneOf = Callable[[str], Backbone]
TrainedOf = Callable[[Backbone, SpaceSettings], Trained]
MODELS = ("tiny_rope", "tiny_eva02", "tiny_swin", "tiny_swinv2", "test_convnext")
OP_TABLES = ("glora", "ssf", "bitfit", "full", "linear_probe")
SPACE = SpaceSettings(ranks=(4, 2))

assert small_models.default_cfgs, "the import has registered the models"


def timms(model: str) -> nn.Module:
    made: nn.Module = timm.create_model(model, num_classes=5, **({} if "convnext" in model else {"img_size": 32}))
    return made.eval()


def pixels(count: int = 3, seed: int = 0) -> Tensor:
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def test_each_family_has_a_model_here() -> None:
    """A Vision Transformer is what the other tests are about."""
    assert {type(timms(model)).__name__ for model in MODELS} == {kind.__name__ for kind in FAMILIES} - {
        "VisionTransformer"
    }


@pytest.mark.parametrize("model", MODELS)
def test_every_site_is_called_once_in_a_forward(model: str) -> None:
    """Else a choice there would never be asked, or a merged one would stand for two."""
    made, calls = timms(model), Counter[str]()
    for path, module in made.named_modules():
        if isinstance(module, tuple(OPS)):
            module.register_forward_hook(lambda *_, path=path: calls.update([path]))
    with torch.no_grad():
        made(pixels())
    sites = {place.path for place in places(made)}
    assert {calls[path] for path in sites} == {1}
    body = {path for path in dict(made.named_modules()) if path.split(".")[0] in family_of(made).stems}
    ops = {path for path in body if isinstance(made.get_submodule(path), tuple(OPS))}
    assert ops - sites == without_choice(made) & ops
    assert {path for path in ops if not calls[path]} == {path for path in ops - sites if "cpb_mlp" not in path}
    assert bool(ops - sites) == (model in ("tiny_eva02", "tiny_swinv2"))


@pytest.mark.parametrize("model", MODELS)
def test_what_is_built_again_computes_what_timms_model_does(model: str, tmp_path: Path) -> None:
    """Rotary embeddings, windows' indices and masks too, which no state holds."""
    torch.manual_seed(0)
    original = timms(model)
    head = {name for name in original.state_dict() if name.startswith("head.fc" if "swin" in model else "head.")}
    head = {name for name in head if name.rpartition(".")[0] in ("head", "head.fc")}
    body = {name: tensor.contiguous() for name, tensor in original.state_dict().items() if name not in head}
    save_file(body, tmp_path / "weights.safetensors")
    settings = BackboneSettings(model=model, weights=str(tmp_path / "weights.safetensors"), image_size=32)
    before = torch.get_rng_state()
    backbone = load_backbone(settings, classes=5)
    again = build(backbone)
    assert torch.equal(torch.get_rng_state(), before)
    with torch.no_grad():
        images = pixels()
        assert torch.equal(again.forward_features(images), original.forward_features(images))  # type: ignore[operator]
    assert torch.count_nonzero(again(pixels())) == 0, "a new head of zeros"


def metas(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A ConvNeXt's state under the names of its authors' files."""
    renamed = {}
    for name, tensor in state.items():
        name = re.sub(r"^stem\.", "downsample_layers.0.", name)
        name = re.sub(r"^stages\.(\d+)\.blocks\.", r"stages.\1.", name)
        name = re.sub(r"^stages\.(\d+)\.downsample\.", r"downsample_layers.\1.", name)
        name = name.replace("conv_dw", "dwconv").replace("mlp.fc", "pwconv")
        name = re.sub(r"^head\.norm\.", "norm.", name)
        renamed[re.sub(r"^head\.fc\.", "head.", name)] = tensor
    return renamed


def microsofts(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A Swin's, which downsample at the end of a stage there."""
    renamed = {}
    for name, tensor in state.items():
        name = re.sub(r"^layers\.(\d+)\.downsample", lambda found: f"layers.{int(found[1]) - 1}.downsample", name)
        renamed[re.sub(r"^head\.fc\.", "head.", name)] = tensor
    return renamed


@pytest.mark.parametrize(("model", "theirs"), [("test_convnext", metas), ("tiny_swin", microsofts)])
def test_its_authors_own_file_is_loaded_whatever_its_head_is_called(
    model: str, theirs: Callable[[dict[str, Tensor]], dict[str, Tensor]], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    original = timms(model)
    state = theirs({name: tensor.contiguous() for name, tensor in original.state_dict().items()})
    assert {"head.weight", "head.bias"} <= state.keys()
    save_file(state, tmp_path / "weights.safetensors")
    settings = BackboneSettings(model=model, weights=str(tmp_path / "weights.safetensors"), image_size=32)
    again = build(load_backbone(settings, classes=5))
    with torch.no_grad():
        assert torch.equal(again.forward_features(pixels()), original.forward_features(pixels()))  # type: ignore[operator]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("table", OP_TABLES)
def test_a_subnet_starts_as_the_backbone(backbone_of: BackboneOf, model: str, table: str) -> None:
    backbone = backbone_of(model)
    supernet, plain = adapt(backbone, SpaceSettings(name=table), 0).eval(), build(backbone)
    supernet.head.load_state_dict(plain.get_classifier().state_dict())  # type: ignore[operator]
    largest = supernet.space.largest
    with torch.no_grad(), supernet.active(largest):
        found = supernet.model.forward_features(pixels())  # type: ignore[operator]
        torch.testing.assert_close(found, plain.forward_features(pixels()), rtol=1e-4, atol=1e-5)  # type: ignore[operator]
    assert (supernet.space.parameters(largest) > 0) == (table != "linear_probe")


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("table", ["glora", "ssf", "bitfit", "full"])
def test_a_merged_subnet_computes_what_the_supernet_does(
    backbone_of: BackboneOf, trained_of: TrainedOf, model: str, table: str
) -> None:
    backbone, space = backbone_of(model), SpaceSettings(name=table, ranks=(4, 2))
    supernet = adapt(backbone, space, 0).eval()
    trained_of(backbone, space).load_into(supernet)
    supernet, generator, answers = supernet.double(), np.random.default_rng(0), []
    for genome in (supernet.space.largest, *(supernet.space.draw(generator) for _ in range(3))):
        plain = build(backbone).double()
        merge_into(plain, supernet, genome)
        with torch.no_grad(), supernet.active(genome):
            expected = supernet(pixels().double())
            torch.testing.assert_close(plain(pixels().double()), expected, rtol=1e-6, atol=1e-8)
        answers.append(expected)
    assert not torch.allclose(answers[0], answers[1]) or table in ("bitfit", "full"), "the genomes differ"


@pytest.mark.parametrize("model", MODELS)
def test_training_reaches_every_number_that_it_draws(
    backbone_of: BackboneOf, split_of: Callable[..., Split], numerics: Numerics, model: str
) -> None:
    training = TrainingSettings(
        epochs=12, batch_size=13, warmup_epochs=0, learning_rate=1e-2, head="random", draws="uniform", memory=0.0
    )
    backbone = backbone_of(model)
    task = TrainingTask(backbone, SPACE, training, split_of(26), seed=0, numerics=numerics)
    before = {name: value.detach().clone() for name, value in adapt(backbone, SPACE, 0).trained().items()}
    *progress, trained = task.run()
    moved = {name for name, value in before.items() if not np.array_equal(value.numpy(), trained.tensors[name])}
    assert len(moved) > 0.9 * len(before)
    assert np.mean([each.loss for each in progress[-6:]]) < np.mean([each.loss for each in progress[:6]])


@pytest.mark.parametrize("model", MODELS)
def test_a_candidate_is_scored_as_its_supernet_answers(
    backbone_of: BackboneOf, trained_of: TrainedOf, split_of: Callable[..., Split], numerics: Numerics, model: str
) -> None:
    backbone = backbone_of(model)
    task = ScoringTask(backbone, SPACE, trained_of(backbone, SPACE), split_of(37), numerics)
    scorer = task.scorer()
    scorer.check()
    genome = scorer.supernet.space.draw(np.random.default_rng(1))
    assert scorer.score(genome).correct == replace(task).scorer().score(genome).correct


@pytest.mark.parametrize("model", ["vit_small_patch16_rope_224", "swin_tiny_patch4_window7_224", "test_convnext"])
def test_an_export_is_a_plain_timm_folder_that_verifies(
    backbone_of: BackboneOf, trained_of: TrainedOf, model: str, tmp_path: Path
) -> None:
    """Of timm's own models, since a process of its own loads it, which knows no other."""
    backbone = backbone_of(model)
    genome = adapt(backbone, SPACE, 0).space.draw(np.random.default_rng(0))
    classes = ("ant", "bee", "cat", "dog", "eel")
    subnet = Subnet(backbone, SPACE, trained_of(backbone, SPACE), genome, classes, "tiny", {})
    folder = export(subnet, tmp_path / "export")
    assert verify(folder).tensors == len(build(backbone).state_dict())
    assert type(load_export(folder).model) in FAMILIES
    again = load_backbone(BackboneSettings(model=model, weights=str(folder), image_size=32), classes=5)
    assert again.state.keys() == backbone.state.keys()


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("table", ["vpt_shallow", "vpt_deep", "prefix", "adaptformer", "control", "noah", "unified"])
def test_what_wraps_is_refused_with_what_works_instead(backbone_of: BackboneOf, model: str, table: str) -> None:
    backbone = backbone_of(model)
    kind = type(build(backbone)).__name__
    with pytest.raises(
        BadInput, match=rf"the backbone is a {kind}; only .*VisionTransformer.* lora, ssf, bitfit or glora"
    ):
        adapt(backbone, SpaceSettings(name=table), 0)


@pytest.mark.parametrize(
    ("model", "sites"),
    [("tiny_rope", 4), ("tiny_swin", 8), ("tiny_swinv2", 0), ("tiny_eva02", 0), ("test_convnext", 0)],
)
def test_lora_on_q_and_v_stands_where_a_qkv_is_called(backbone_of: BackboneOf, model: str, sites: int) -> None:
    backbone, space = backbone_of(model), SpaceSettings(name="lora")
    if sites:
        assert len(adapt(backbone, space, 0).space.genes) == sites
    else:
        with pytest.raises(BadInput, match="names no site of this backbone"):
            adapt(backbone, space, 0)


@pytest.mark.parametrize("method", ["lora", "bias_of_linears", "ssf"])
def test_glora_names_its_fixed_methods_in_stages_too(backbone_of: BackboneOf, method: str) -> None:
    space = adapt(backbone_of("tiny_swin"), SPACE, 0).space
    assert 0 < space.parameters(fixed_genome(space, method)) < space.parameters(space.largest)
    assert {gene.name.split(".")[0] for gene in space.genes} == {"layers"}


@pytest.mark.parametrize(
    ("model", "size", "says"),
    [("test_convnext", 48, "stride of 32 pixels: use 32 or 64"), ("tiny_rope", 30, "patch of 8 pixels: use 24 or 32")],
)
def test_a_size_that_does_not_fit_is_refused(model: str, size: int, says: str) -> None:
    with pytest.raises(BadInput, match=f"image_size {size} is not a multiple of the {says}"):
        load_backbone(BackboneSettings(model=model, image_size=size), classes=5)


@pytest.mark.parametrize("model", ["test_resnet", "test_vit_relpos", "coatnet_0_224"])
def test_another_type_is_refused_with_those_that_work(model: str) -> None:
    with pytest.raises(
        BadInput, match=r"is not supported; expected one of timm's VisionTransformer, Eva, .* or ConvNeXt"
    ):
        load_backbone(BackboneSettings(model=model), classes=5)


def test_a_family_takes_an_image_size_only_if_it_is_built_for_one() -> None:
    arguments: dict[str, Any] = {model: family_of(timms(model)).arguments(64) for model in MODELS}
    assert arguments == {model: {} if model == "test_convnext" else {"img_size": 64} for model in MODELS}
