import json
import resource
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from supernet.account import all_merged, counts, said
from supernet.backbone import Backbone, build
from supernet.compiling import outcomes
from supernet.data import Split
from supernet.errors import BadInput, Corrupt, Missing
from supernet.evaluation import Scorer, ScoringTask
from supernet.examples import DeviceImages
from supernet.export import Subnet, export
from supernet.exported import accuracy, classify, load_export
from supernet.merging import merge_into
from supernet.settings import SpaceSettings
from supernet.trained import Trained
from supernet.training import adapt
from supernet.verification import verify

CLASSES = ("ant", "bee", "cat", "dog", "eel")
FILES = {
    "README.md",
    "config.json",
    "delta.safetensors",
    "export.json",
    "model.safetensors",
    "verification.safetensors",
}
SubnetOf = Callable[..., Subnet]


@pytest.fixture(scope="module")
def subnet_of(
    backbone_of: Callable[[str], Backbone], trained_of: Callable[[Backbone, SpaceSettings], Trained]
) -> SubnetOf:
    def subnet_of(model: str = "test_vit", seed: int = 0, **space: Any) -> Subnet:
        settings = SpaceSettings(ranks=(4, 2), **space)
        backbone = backbone_of(model)
        genome = adapt(backbone, settings, 0).space.draw(np.random.default_rng(seed))
        trained = trained_of(backbone, settings)
        return Subnet(backbone, settings, trained, genome, CLASSES, "digits", {"test accuracy": 0.875})

    return subnet_of


@pytest.fixture(scope="module")
def subnet(subnet_of: SubnetOf) -> Subnet:
    return subnet_of()


@pytest.fixture(scope="module")
def pristine(subnet: Subnet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(subnet, tmp_path_factory.mktemp("exported") / "digits")


@pytest.fixture
def folder(pristine: Path, tmp_path: Path) -> Path:
    """A copy to tamper with."""
    return Path(shutil.copytree(pristine, tmp_path / "digits"))


def merged(subnet: Subnet) -> nn.Module:
    supernet = adapt(subnet.backbone, subnet.space, 0)
    subnet.trained.load_into(supernet)
    model = build(subnet.backbone)
    merge_into(model, supernet, subnet.genome)
    return model


def by_timm(folder: Path) -> Any:
    return timm.create_model(f"local-dir:{folder}", pretrained=True).eval()


# What is written


@pytest.mark.parametrize("model", ["test_vit", "test_vit2", "test_vit3", "test_vit4"])
def test_timm_loads_the_merged_model(subnet_of: SubnetOf, tmp_path: Path, model: str) -> None:
    """Every tensor, and no other, with LayerScales and pooling as they were."""
    subnet = subnet_of(model)
    loaded, expected = by_timm(export(subnet, tmp_path / "to")), merged(subnet)
    assert type(loaded) is type(expected)
    assert loaded.state_dict().keys() == expected.state_dict().keys()
    for name, value in expected.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(loaded(images), expected(images))
    assert loaded.head.weight.shape[0] == 5


def test_timm_preprocesses_as_the_subnet_was_trained(subnet: Subnet, pristine: Path, split_of: Any) -> None:
    model = by_timm(pristine)
    config = timm.data.resolve_data_config(model=model)
    assert config["input_size"] == (3, 32, 32)
    assert (tuple(config["mean"]), tuple(config["std"])) == (subnet.backbone.mean, subnet.backbone.std)
    assert (config["crop_pct"], config["crop_mode"], config["interpolation"]) == (1.0, "squash", "bicubic")
    from PIL import Image

    images = split_of(3).images
    ours = DeviceImages(images, subnet.backbone.mean, subnet.backbone.std, torch.device("cpu"))[:]
    transform = timm.data.create_transform(**config)
    theirs = torch.stack([transform(Image.fromarray(image)) for image in images])
    assert torch.allclose(ours, theirs, atol=1e-5)
    wide = Image.fromarray(np.tile(images[0], (1, 3, 1)))
    assert transform(wide).shape == (3, 32, 32), "squashed, not cropped"


@pytest.mark.parametrize("space", [{}, {"storage": "separate"}, {"product": "matrix"}, {"scales": "raw"}])
def test_the_delta_file_alone_makes_the_merged_model_of_the_backbone(
    subnet_of: SubnetOf, merged_by_hand: Callable[..., Any], tmp_path: Path, space: dict[str, Any]
) -> None:
    """Scales are multiplied in: whoever reads it needs the formula and nothing of ours."""
    subnet = subnet_of(seed=3, **space)
    folder = export(subnet, tmp_path / "to")
    delta = {name: value.numpy() for name, value in load_file(folder / "delta.safetensors").items()}
    model, supports = load_file(folder / "model.safetensors"), dict[str, dict[str, dict[str, np.ndarray]]]()
    for name, value in delta.items():
        if not name.startswith("head."):
            path, gene, part = name.rsplit(".", 2)
            supports.setdefault(path, {}).setdefault(gene, {})[part] = value
    state = subnet.backbone.state
    for path in [name.removesuffix(".weight") for name in state if name.endswith(("qkv.weight", "fc1.weight"))]:
        genes = supports.get(path, {})
        forms = {gene: f"lora{p['down'].shape[1]}" if "up" in p else next(iter(p)) for gene, p in genes.items()}
        tensors = {f"{gene}.{part}": v for gene, parts in genes.items() for part, v in parts.items()}
        tensors |= {f"{gene}.down": v for gene, parts in genes.items() for v in parts.values() if "up" not in parts}
        w, b = merged_by_hand(
            state[f"{path}.weight"], state[f"{path}.bias"], forms, tensors, subnet.space.product, "raw"
        )
        assert np.abs(model[f"{path}.weight"].numpy() - w).max() < 1e-6
        assert np.abs(model[f"{path}.bias"].numpy() - b).max() < 1e-5
    assert torch.equal(model["head.weight"], torch.tensor(delta["head.weight"]))
    numbers = sum(value.size for name, value in delta.items() if not name.startswith("head."))
    manifest = json.loads((folder / "export.json").read_text())
    space_ = adapt(subnet.backbone, subnet.space, 0).space
    assert numbers == manifest["parameters"] == space_.parameters(subnet.genome)


def test_the_manifest_and_the_card_say_what_it_is(subnet: Subnet, pristine: Path) -> None:
    assert {path.name for path in pristine.iterdir()} == FILES
    manifest = json.loads((pristine / "export.json").read_text())
    assert manifest["genome"] == subnet.genome
    assert manifest["campaign"] == "digits"
    assert manifest["figures"] == {"test accuracy": 0.875}
    assert manifest["data"] is None
    assert manifest["fingerprint"] == subnet.trained.fingerprint
    assert set(manifest["sha256"]) == FILES - {"export.json"}
    card = (pristine / "README.md").read_text()
    for each in (subnet.genome, f"{manifest['parameters']:,}", "test accuracy: 0.875", "ant, bee, cat", "test_vit"):
        assert each in card


def test_exporting_twice_writes_the_same_numbers_and_draws_from_no_global_generator(
    subnet: Subnet, pristine: Path, tmp_path: Path
) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    again = export(subnet, tmp_path / "again")
    assert torch.equal(torch.get_rng_state(), before)
    for name in FILES - {"export.json"}:  # the order of a safetensors header is its own, and so its sum
        if name.endswith("safetensors"):
            one, two = load_file(again / name), load_file(pristine / name)
            assert one.keys() == two.keys()
            assert all(torch.equal(value, two[key]) for key, value in one.items()), name
        else:
            assert (again / name).read_bytes() == (pristine / name).read_bytes(), name


# Where it is written


def listing(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_a_folder_with_other_content_is_refused_and_not_touched(subnet: Subnet, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").write_text("meow")
    (tmp_path / "file").write_text("text")
    before = listing(tmp_path)
    for to in (tmp_path / "photos", tmp_path / "file", tmp_path):
        with pytest.raises(BadInput, match="exists and holds more than an export of ours"):
            export(subnet, to)
    assert listing(tmp_path) == before
    assert (tmp_path / "photos" / "cat.png").read_text() == "meow"
    assert (tmp_path / "file").read_text() == "text"


def test_an_earlier_export_and_an_empty_folder_are_replaced(subnet_of: SubnetOf, folder: Path) -> None:
    other = subnet_of(seed=1)
    export(other, folder)
    assert {path.name for path in folder.iterdir()} == FILES
    assert load_export(folder).manifest["genome"] == other.genome
    (folder.parent / "empty").mkdir()
    export(other, folder.parent / "empty")
    assert listing(folder.parent) == {f"{top}/{name}" for top in ("digits", "empty") for name in FILES} | {
        "digits",
        "empty",
    }


@pytest.mark.parametrize("mine", ["notes.txt", "export.json"])
def test_what_someone_put_into_a_folder_is_never_removed(
    subnet_of: SubnetOf, folder: Path, tmp_path: Path, mine: str
) -> None:
    to = folder if mine == "notes.txt" else tmp_path / "results"
    to.mkdir(exist_ok=True)
    (to / mine).write_text("{}")
    before = listing(to)
    with pytest.raises(BadInput, match="holds more than an export of ours"):
        export(subnet_of(seed=1), to)
    assert listing(to) == before
    assert (to / mine).read_text() == "{}"


def test_a_folder_that_is_not_there_is_made_with_its_parents(subnet: Subnet, tmp_path: Path) -> None:
    assert {path.name for path in export(subnet, tmp_path / "a" / "b" / "c").iterdir()} == FILES


def test_the_working_directory_and_a_link_are_places_like_any_other(
    subnet: Subnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "here")
    export(subnet, tmp_path / "link")
    export(subnet, tmp_path / "link")
    monkeypatch.chdir(tmp_path / "here")
    export(subnet, Path())
    assert {path.name for path in (tmp_path / "here").iterdir()} == FILES
    assert listing(tmp_path) == {"here", "link"} | {f"here/{name}" for name in FILES}


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_an_export_that_cannot_be_written_leaves_what_was_there(subnet: Subnet, folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with (
        no_file_above(100_000),
        pytest.raises(BadInput, match=r"cannot be written to .*digits: .*Choose another folder"),
    ):
        export(subnet, folder)
    with pytest.raises(BadInput, match="cannot be written to"):
        export(subnet, folder / "export.json" / "below")
    with pytest.raises(Corrupt, match="lacks blocks"):
        export(replace(subnet, trained=Trained({}, 0.0)), folder)
    with pytest.raises(BadInput, match="letters"):
        export(replace(subnet, genome="?"), folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert listing(folder.parent) == {"digits"} | {f"digits/{name}" for name in FILES}


# What is done with it


def test_an_export_classifies_as_the_scorer_that_found_it(
    subnet: Subnet, pristine: Path, scoring: ScoringTask, split_of: Callable[..., Split]
) -> None:
    exported, split = load_export(pristine), split_of(70)
    task = replace(scoring, backbone=subnet.backbone, space=subnet.space, trained=subnet.trained, split=split)
    found = Scorer(task).score(subnet.genome)
    assert accuracy(exported, split) == found.accuracy
    probabilities = exported.probabilities(split.images)
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert np.mean(-np.log(probabilities[np.arange(70), split.labels])) == pytest.approx(found.loss, rel=1e-4)
    names = classify(exported, list(split.images[:3]))
    assert [name for name, _ in names] == [CLASSES[i] for i in probabilities[:3].argmax(axis=1)]
    assert [p for _, p in names] == pytest.approx(probabilities[:3].max(axis=1).tolist(), abs=1e-5)


def test_data_of_another_task_is_refused(pristine: Path, split_of: Callable[..., Split]) -> None:
    split = split_of(4)
    with pytest.raises(BadInput, match="has label 5, the model 5 classes: it was trained for another task"):
        accuracy(load_export(pristine), Split(split.images, np.array([0, 1, 5, 2]), split.examples))


def test_a_damaged_export_is_not_loaded(folder: Path) -> None:
    (folder / "config.json").unlink()
    with pytest.raises(Missing):
        load_export(folder)


# What does not merge


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("noah", {"compiled": 2, "kept": 2}),
        pytest.param("multihead_control", {"kept": 2}, marks=pytest.mark.experiment),
        pytest.param("vpt_deep", {"compiled": 2}, marks=pytest.mark.experiment),
    ],
)
def test_what_does_not_merge_is_a_program_that_torch_alone_loads(
    backbone_of: Callable[[str], Backbone],
    trained_of: Callable[[Backbone, SpaceSettings], Trained],
    split_of: Callable[..., Split],
    scoring: ScoringTask,
    tmp_path: Path,
    name: str,
    kept: dict[str, int],
) -> None:
    backbone, space = backbone_of("test_vit"), SpaceSettings(name=name)
    supernet, trained = adapt(backbone, space, 0), trained_of(backbone, space)
    genome = supernet.space.largest
    subnet = Subnet(backbone, space, trained, genome, CLASSES, "digits")
    folder = export(subnet, tmp_path / "to")
    assert {path.name for path in folder.iterdir()} == FILES - {"model.safetensors"} | {"model.pt2"}
    manifest = json.loads((folder / "export.json").read_text())
    assert Counter(manifest["not_merged"].values()) == {k: v * 3 for k, v in kept.items()}
    found = verify(folder)
    assert 0 < found.largest_difference < 1e-4 * found.largest_logit
    scored = Scorer(replace(scoring, backbone=backbone, space=space, trained=trained, split=split_of(20))).score(genome)
    assert accuracy(load_export(folder), split_of(20)) == scored.accuracy
    assert manifest["outcomes"] == counts(outcomes(supernet, genome))
    card = (folder / "README.md").read_text()
    assert said(manifest["outcomes"]) in card
    assert "timm cannot load this folder" in card
    assert "do not load one of a source that\nyou do not trust" in card
    assert "GLoRA" not in card
    assert _by_the_card(card, folder, split_of(1).images[0]) == classify(load_export(folder), split_of(1).images)[0][0]
    export(subnet, folder)


def _by_the_card(card: str, folder: Path, image: np.ndarray) -> str:
    """The class that the model card's own lines give, in a process without timm and without anything of ours."""
    code = card.partition("```python\n")[2].partition("```")[0].replace("PATH_OF_THIS_FOLDER", str(folder))
    Image.fromarray(image).save(folder.parent / "image.png")
    said = "import sys; print(int(logits.argmax()), {'timm', 'supernet'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-I", "-c", code + said], capture_output=True, text=True, cwd=folder.parent)
    number, imported = run.stdout.split(" ", 1)
    assert imported == "set()\n", run.stderr
    return CLASSES[int(number)]


def test_an_account_names_outcomes_and_genes_with_their_counts() -> None:
    became = counts({"blocks.0.lora": "merged", "blocks.0.p": "kept", "blocks.1.lora": "merged", "blocks.1.q": "kept"})
    assert became == {"merged": {"lora": 2}, "kept": {"p": 1, "q": 1}}
    assert said(became) == "2 lora merged, 1 p and 1 q kept"
    assert not all_merged(became)
    assert all_merged(counts({"blocks.0.lora": "merged"}))
    assert all_merged(counts({}))
