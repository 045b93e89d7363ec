"""A program goes to another device as a whole, and an archive that would be unpickled is not loaded."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from supernet.errors import Corrupt
from supernet.program import load_program, moved, require_plain, save_program

META = torch.device("meta")
Entries = dict[str, bytes]


class Tracked(nn.Module):
    """A model with a constant that is no parameter, as prompts and masks are, and with devices in its trace."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.shift = torch.full((1,), 0.5)  # no buffer: torch saves it as a constant

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model(images.to(torch.float32))
        return logits + self.shift + torch.zeros(1, device=images.device)


@pytest.fixture(scope="module")
def model(vit_of: Callable[..., VisionTransformer]) -> nn.Module:
    return Tracked(vit_of()).eval()


@pytest.fixture(scope="module")
def saved(model: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("programs") / "model.pt2"
    save_program(model, 32, path)
    return path


@pytest.fixture
def altered(saved: Path, tmp_path: Path) -> Callable[..., Path]:
    def altered(change: Callable[[Entries], object]) -> Path:
        """A copy whose entries, by their names below the archive's root, were changed."""
        with ZipFile(saved) as archive:
            entries = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
        change(entries)
        with ZipFile(tmp_path / "model.pt2", "w") as archive:
            for name, content in entries.items():
                archive.writestr(f"model/{name}", content)
        return tmp_path / "model.pt2"

    return altered


def devices(program: torch.export.ExportedProgram) -> set[torch.device]:
    """Of the tensors, and those that are written in the trace."""
    found = {torch.device(node.kwargs["device"]) for node in program.graph.nodes if "device" in node.kwargs}
    tensors = [*program.state_dict.values(), *program.constants.values()]
    return found | {tensor.device for tensor in tensors if isinstance(tensor, torch.Tensor)}


def test_a_program_computes_what_the_model_does(model: nn.Module, saved: Path) -> None:
    images = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(load_program(saved)(images), torch.export.load(saved).module()(images))
        assert torch.allclose(load_program(saved)(images), model(images), atol=1e-5)


def test_a_program_is_moved_with_the_devices_of_its_trace(saved: Path) -> None:
    program = torch.export.load(saved)
    assert devices(program) == {torch.device("cpu")}
    assert any("_assert_tensor_metadata" in str(node.target) for node in program.graph.nodes)
    assert moved(program, torch.device("cpu")) is program
    assert devices(moved(program, META)) == {META}
    with torch.no_grad():
        logits = load_program(saved, META)(torch.empty(3, 3, 32, 32, device=META))
    assert (logits.device, logits.shape) == (META, (3, 5))


class Writes:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_an_archive_whose_inputs_would_be_unpickled_is_refused_before_they_are(
    altered: Callable[..., Path], tmp_path: Path
) -> None:
    buffer = io.BytesIO()
    torch.save(((Writes(tmp_path / "was run"),), {}), buffer)
    path = altered(lambda entries: entries.update({"data/sample_inputs/model.pt": buffer.getvalue()}))
    with pytest.raises(Corrupt, match=r"model\.pt2 holds model/data/sample_inputs/model\.pt, .* might run code"):
        load_program(path)
    assert not (tmp_path / "was run").exists()
    with suppress(Exception):  # the negative control: torch runs it, whatever comes of it afterwards
        torch.export.load(path)
    assert (tmp_path / "was run").exists()


@pytest.mark.parametrize("change", [{"use_pickle": True}, {"path_name": "custom_obj_0"}, {"path_name": "opaque_obj_0"}])
@pytest.mark.parametrize(
    "config", ["data/weights/model_weights_config.json", "data/constants/model_constants_config.json"]
)
def test_a_config_that_has_a_tensor_unpickled_is_refused(
    altered: Callable[..., Path], config: str, change: dict[str, Any]
) -> None:
    def unpickled(entries: Entries) -> None:
        known = json.loads(entries[config])
        next(iter(known["config"].values())).update(change)
        entries[config] = json.dumps(known).encode()

    with pytest.raises(Corrupt, match=f"holds model/{config}"):
        require_plain(altered(unpickled))


@pytest.mark.parametrize(
    "name",
    ["data/constants/custom_obj_0", "data/constants/opaque_obj_0", "data/aotinductor/model/it.so", "models/other.json"],
)
def test_what_no_export_holds_is_refused(altered: Callable[..., Path], name: str) -> None:
    with pytest.raises(Corrupt, match=f"holds model/{name}, which is no plain tensor"):
        require_plain(altered(lambda entries: entries.update({name: pickle.dumps(0)})))


@pytest.mark.parametrize("content", [b"", b"no archive"])
def test_what_is_no_archive_is_corrupt(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.pt2").write_bytes(content)
    with pytest.raises(Corrupt, match="cannot be read"):
        load_program(tmp_path / "model.pt2")


def test_a_copy_with_nothing_changed_is_loaded(altered: Callable[..., Path]) -> None:
    """So that it is the changes above which are refused."""
    load_program(altered(lambda entries: None))
