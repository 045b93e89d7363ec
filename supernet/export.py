"""Export: the subnet as a timm `local-dir`, or a program, that needs none of our code, a delta file, a model card.

config.json  model.safetensors     what timm.create_model("local-dir:DIR", pretrained=True) loads strictly
config.json  model.pt2             in its place where not all of the subnet merges: what torch.export.load loads
delta.safetensors                  the chosen slices alone
verification.safetensors           noise images and the subnet's float64 logits, computed without merging
export.json                        the genome, what merged, the figures, the data, and a SHA-256 of each file
README.md                          the model card
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from supernet.account import all_merged, counts
from supernet.backbone import Backbone, build
from supernet.card import model_card
from supernet.compiling import compile_into
from supernet.delta import delta_of
from supernet.errors import BadInput
from supernet.examples import DeviceImages
from supernet.families import family_of, pooling
from supernet.model import Supernet
from supernet.program import PROGRAM, save_program
from supernet.settings import SpaceSettings
from supernet.trained import Trained
from supernet.training import adapt
from supernet.verification import read_manifest

MANIFEST = "export.json"
VERIFIED_IMAGES = 4


@dataclass(frozen=True)
class Subnet:
    """A genome with all that it takes to compute and describe it."""

    backbone: Backbone
    space: SpaceSettings
    trained: Trained
    genome: str
    classes: tuple[str, ...]
    title: str  # the campaign's name
    figures: dict[str, Any] = field(default_factory=dict)  # plain JSON data, shown in the card
    seen: dict[str, Any] | None = None  # plain JSON data: what it was trained and chosen on, as data/seen.py says it


def export(subnet: Subnet, to: Path) -> Path:
    """Write the folder whole or not at all; an earlier export there is replaced. Raises BadInput on other content."""
    require_free(to)
    folder = to.resolve()  # `.` has no name, and a link is not a folder to be replaced
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        _write(subnet, partial)
        aside = folder.with_name(f".{folder.name}.{os.getpid()}.replaced")
        if folder.exists():
            folder.replace(aside)
        try:
            partial.replace(folder)
        except OSError:
            if aside.exists():
                aside.replace(folder)
            raise
        shutil.rmtree(aside, ignore_errors=True)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadInput(f"The export cannot be written to {to}: {reason}. Choose another folder.") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return to


def require_free(to: Path) -> None:
    """Raises BadInput if an export cannot go there: more than an export is there, or a part of the path is a file."""
    if to.exists() and (not to.is_dir() or {path.name for path in to.iterdir()} - _exported(to)):
        raise BadInput(f"{to} exists and holds more than an export of ours. Choose another folder, or move it away.")
    nearest = next(folder for folder in (to.absolute(), *to.absolute().parents) if folder.exists())
    if not nearest.is_dir():
        raise BadInput(f"The export cannot be written to {to}: {nearest} is a file. Choose another folder.")


def _exported(folder: Path) -> set[str]:
    """The names of the files that an export there consists of; none if it is no export."""
    try:
        return {*read_manifest(folder)["sha256"], MANIFEST}
    except BadInput:
        return set()


def _write(subnet: Subnet, folder: Path) -> None:
    supernet = adapt(subnet.backbone, subnet.space, seed=0).eval()
    subnet.trained.load_into(supernet)
    plain = build(subnet.backbone)
    outcomes = compile_into(plain, supernet, subnet.genome)
    became = counts(outcomes)
    _write_model(plain, subnet, folder, merged=all_merged(became))
    about = {"genome": subnet.genome, "product": subnet.space.product, "format": "pt"}
    save_file(delta_of(supernet, subnet.genome), folder / "delta.safetensors", metadata=about)
    save_file(_verification(supernet, subnet), folder / "verification.safetensors")
    _write_json(folder / "config.json", timm_config(subnet, plain))
    parameters = supernet.space.parameters(subnet.genome)
    (folder / "README.md").write_text(model_card(subnet, supernet, parameters, became), encoding="utf-8")
    _write_json(
        folder / MANIFEST,
        {
            "campaign": subnet.title,
            "genome": subnet.genome,
            "forms": supernet.forms(subnet.genome),
            "parameters": parameters,
            "outcomes": became,
            "not_merged": {gene: each for gene, each in outcomes.items() if each != "merged"},
            "fingerprint": subnet.trained.fingerprint,
            "figures": subnet.figures,
            "data": subnet.seen,
            "sha256": {path.name: _sha256(path) for path in sorted(folder.iterdir())},
        },
    )


def _write_model(plain: nn.Module, subnet: Subnet, folder: Path, merged: bool) -> None:
    """A plain timm model's tensors; a program where the model has more in it than timm would build."""
    if not merged:
        save_program(plain, subnet.backbone.image_size, folder / PROGRAM)
        return
    tensors = {name: tensor.contiguous() for name, tensor in plain.state_dict().items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


@torch.no_grad()
def _verification(supernet: Supernet, subnet: Subnet) -> dict[str, Tensor]:
    """Noise images (k, h, w, 3) uint8 and the unmerged subnet's logits (k, classes) float64. No user's image leaves."""
    size = subnet.backbone.image_size
    noise = np.random.default_rng(0).integers(0, 256, (VERIFIED_IMAGES, size, size, 3), dtype=np.uint8)
    images = DeviceImages(noise, subnet.backbone.mean, subnet.backbone.std, torch.device("cpu"))
    model = supernet.double()
    with model.active(subnet.genome):
        logits = model(images[:VERIFIED_IMAGES].double())
    supernet.float()
    return {"images": torch.from_numpy(noise), "logits": logits}


def timm_config(subnet: Subnet, plain: nn.Module) -> dict[str, Any]:
    """config.json: timm builds a head of the right size and preprocesses as the subnet was trained."""
    backbone, size = subnet.backbone, subnet.backbone.image_size
    source = cast("dict[str, Any]", plain.pretrained_cfg)
    return {
        "architecture": source.get("architecture") or backbone.model.split(".")[0],
        "num_classes": backbone.classes,
        "num_features": plain.num_features,
        "global_pool": pooling(plain),
        "label_names": list(subnet.classes),
        "model_args": family_of(plain).arguments(size),
        "pretrained_cfg": {
            "tag": "glora",
            "custom_load": False,
            "input_size": [3, size, size],
            "fixed_input_size": family_of(plain).sized,
            "interpolation": "bicubic",
            "crop_pct": 1.0,
            "crop_mode": "squash",
            "mean": list(backbone.mean),
            "std": list(backbone.std),
            "num_classes": backbone.classes,
            "pool_size": None,
            "first_conv": source.get("first_conv", "patch_embed.proj"),
            "classifier": source.get("classifier", "head"),
        },
    }


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
