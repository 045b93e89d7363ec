"""A model that is no plain timm model any more, as a file that torch alone loads: its traced program and its tensors.

    model = torch.export.load("model.pt2").module()
    logits = model(images)       # (n, 3, size, size) float32, normalised, any n -> (n, classes)

What a subnet wraps around the backbone is in the program, so no code of ours is needed where it runs.

Torch unpickles some archives while it loads them, which runs whatever code their writer put there. Ours hold plain
tensors and a trace, and an archive that holds more is refused. That shuts the widest door and no more: torch also
evaluates expressions that stand in a trace, so a program of a source that is not trusted must not be loaded.
"""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from pickle import UnpicklingError
from typing import cast
from zipfile import BadZipFile, ZipFile

import torch
from torch import nn
from torch.export import ExportedProgram
from torch.export.passes import move_to_device_pass

from supernet.errors import Corrupt

PROGRAM = "model.pt2"
CPU = torch.device("cpu")
ENTRY = re.compile(  # of an archive of plain tensors, as torch 2.9 and later write it, 2.8, and 2.6 and 2.7
    r"(?:[^/]+/)?(?:archive_format|archive_version|byteorder|version|\.data/(?:version|serialization_id)"
    r"|models/model\.json|data/weights/(?:weight_\d+|model_weights_config\.json)"
    r"|data/constants/(?:tensor_\d+|model_constants_config\.json)|data/(?:weights|constants|sample_inputs)/model\.pt"
    r"|serialized_exported_program\.json|serialized_(?:state_dict|constants|example_inputs)\.pt)"
)
PAYLOAD = re.compile(r"(?:weight|tensor)_\d+")  # the files of which a config says how they are read


def save_program(model: nn.Module, image_size: int, path: Path) -> None:
    """Trace the model, in eval mode, for any number of images."""
    some = torch.zeros(2, 3, image_size, image_size)
    shapes = ({0: torch.export.Dim("images")},)
    frozen = model.eval().requires_grad_(False)
    with torch.no_grad():
        program = torch.export.export(frozen, (some,), dynamic_shapes=shapes, strict=False)
    torch.export.save(program, path)


def load_program(path: Path, device: torch.device = CPU) -> nn.Module:
    """The model, which has no training mode. Raises Corrupt as `require_plain` does."""
    require_plain(path)
    return cast(nn.Module, moved(torch.export.load(path), device).module())


def moved(program: ExportedProgram, device: torch.device) -> ExportedProgram:
    """On a device, with its number if it has one: `to` of the module would leave the CPU that is written in a trace."""
    return program if device == CPU else move_to_device_pass(program, device)


def require_plain(path: Path) -> None:
    """Raises Corrupt for an archive in which torch would find more than plain tensors and a trace."""
    try:
        with ZipFile(path) as archive:
            strange = next((name for name in archive.namelist() if not _is_plain(archive, name)), None)
    except (BadZipFile, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Corrupt(f"{path} cannot be read ({error}). Export the subnet again.") from None
    if strange is not None:
        raise Corrupt(
            f"{path} holds {strange}, which is no plain tensor, as all are in an export of ours: to load it might run "
            "code that someone put there. Delete it, and export the subnet again."
        )


def _is_plain(archive: ZipFile, name: str) -> bool:
    if not ENTRY.fullmatch(name):
        return False
    if name.endswith("_config.json"):
        payloads = json.loads(archive.read(name))["config"].values()
        return all(not each["use_pickle"] and PAYLOAD.fullmatch(each["path_name"]) for each in payloads)
    return not name.endswith(".pt") or _holds_tensors_alone(archive.read(name))


def _holds_tensors_alone(pickled: bytes) -> bool:
    """Whether torch's own unpickler, which runs nothing, can read it; torch would go on to Python's where it cannot."""
    if not pickled:
        return True
    try:
        torch.load(io.BytesIO(pickled), weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError):
        return False
    return True
