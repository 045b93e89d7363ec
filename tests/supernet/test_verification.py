import ast
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from supernet import standalone
from supernet.backbone import Backbone
from supernet.errors import BadInput, Corrupt, Missing
from supernet.export import Subnet, export
from supernet.settings import SpaceSettings
from supernet.trained import Trained
from supernet.training import adapt
from supernet.verification import read_manifest, require_whole, verify


@pytest.fixture(scope="module")
def pristine(
    backbone: Backbone,
    trained_of: Callable[[Backbone, SpaceSettings], Trained],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    space = SpaceSettings()
    genome = adapt(backbone, space, 0).space.draw(np.random.default_rng(0))
    subnet = Subnet(backbone, space, trained_of(backbone, space), genome, tuple("abcde"), "digits")
    return export(subnet, tmp_path_factory.mktemp("exported") / "digits")


@pytest.fixture
def folder(pristine: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine, tmp_path / "digits"))


def sign_again(folder: Path, name: str) -> None:
    """As one who alters a file and its sum in the manifest."""
    manifest = json.loads((folder / "export.json").read_text())
    manifest["sha256"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "export.json").write_text(json.dumps(manifest))


def alter_config(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))
    sign_again(folder, "config.json")


def test_a_whole_export_is_verified_by_a_process_of_its_own(pristine: Path) -> None:
    found = verify(pristine)
    assert found.loads_with == "timm"
    assert found.outcomes.keys() == {"merged"}
    assert found.tensors == len(load_file(pristine / "model.safetensors"))
    assert found.largest_difference <= 1e-5 * found.largest_logit
    assert found.largest_logit == load_file(pristine / "verification.safetensors")["logits"].abs().max()


def test_that_process_imports_nothing_of_ours() -> None:
    assert standalone.__file__ is not None
    tree = ast.parse(Path(standalone.__file__).read_text())
    froms = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    plain = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    tops = {str(name).split(".")[0] for name in froms | plain}
    assert tops - set(sys.stdlib_module_names) == {"timm", "torch", "safetensors"}


@pytest.fixture
def without_timm(tmp_path: Path) -> Path:
    """A folder with a timm in it that is none."""
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages/timm.py").write_text("raise ModuleNotFoundError(\"No module named 'timm'\", name='timm')\n")
    return tmp_path / "packages"


def test_that_process_has_the_packages_of_this_one_and_says_which_is_missing(
    pristine: Path, without_timm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(without_timm))
    with pytest.raises(BadInput, match=r"digits cannot be verified: .* No module named 'timm'\. Install") as caught:
        verify(pristine)
    assert caught.type is BadInput, "the export may be whole"


def test_that_process_imports_nothing_from_the_working_directory(
    pristine: Path, without_timm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(without_timm)
    monkeypatch.setenv("PYTHONPATH", f"{os.pathsep}{without_timm / 'absent'}")
    assert verify(pristine).loads_with == "timm"


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "delta.safetensors", "README.md"])
def test_an_altered_byte_is_corrupt_and_a_deleted_file_is_missing(folder: Path, name: str) -> None:
    contents = bytearray((folder / name).read_bytes())
    contents[len(contents) // 2] ^= 1
    (folder / name).write_bytes(contents)
    with pytest.raises(Corrupt, match=f"{name} was altered since it was exported"):
        verify(folder)
    (folder / name).unlink()
    with pytest.raises(Missing, match=f"{name} is missing. Export the subnet again"):
        verify(folder)


def test_a_folder_that_is_no_export_is_missing_one(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(Missing, match=r"is no export: export\.json is missing\. `glora-search export NAME"):
            verify(folder)


@pytest.mark.parametrize("text", ["", "{", "[1]", "7", "null", "{}", '{"sha256": [1]}', '{"sha256": null}', "\xff"])
def test_a_manifest_that_is_none_is_corrupt(folder: Path, text: str) -> None:
    (folder / "export.json").write_bytes(text.encode("latin-1"))
    for reader in (read_manifest, require_whole):
        with pytest.raises(Corrupt, match=r"export\.json cannot be read"):
            reader(folder)


def test_a_wrong_number_of_classes_is_corrupt_though_timm_might_load_it(folder: Path) -> None:
    """timm builds another head then, and leaves it random."""
    alter_config(folder, num_classes=7)
    with pytest.raises(Corrupt, match=r"timm cannot load .*digits|timm loaded .*digits, but \d+ tensors differ"):
        verify(folder)


def test_weights_that_do_not_compute_the_subnet_are_corrupt_though_they_are_signed(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["blocks.3.mlp.fc1.weight"] *= 1.01
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    sign_again(folder, "model.safetensors")
    with pytest.raises(Corrupt, match=r"differ from the subnet.s by .*: the export does not compute"):
        verify(folder)


def test_wrong_preprocessing_is_seen_in_the_logits(folder: Path) -> None:
    """Judged by the script itself, which `verify` runs in a process of its own."""
    config = json.loads((folder / "config.json").read_text())
    alter_config(folder, pretrained_cfg=config["pretrained_cfg"] | {"mean": [0.0, 0.0, 0.0]})
    found = standalone.verify(folder)
    assert found["differing_tensors"] == 0
    assert found["largest_difference"] > 0.01 * found["largest_logit"]
