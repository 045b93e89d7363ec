"""Use an export: load it as timm or torch does, score it on a split, classify images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from torch import nn

from supernet.data import Split
from supernet.errors import BadInput, Corrupt
from supernet.examples import DeviceImages
from supernet.program import PROGRAM, load_program
from supernet.verification import require_whole

CHUNK = 64  # images a forward


@dataclass(frozen=True)
class Exported:
    """A model, plain or a program, and how it wants its images."""

    model: nn.Module
    image_size: int
    classes: tuple[str, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    manifest: dict[str, Any]
    device: torch.device  # where the model is

    @torch.no_grad()
    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """(n, size, size, 3) uint8 -> (n, classes) float32."""
        pixels = DeviceImages(images, self.mean, self.std, self.device)
        parts = [self.model(pixels[start : start + CHUNK]).softmax(dim=1) for start in range(0, len(pixels), CHUNK)]
        return torch.cat(parts).cpu().numpy()


def load_export(folder: Path) -> Exported:
    """Raises Missing or Corrupt if the folder is not what was exported."""
    manifest = require_whole(folder)
    device = torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        model = _load(folder, device)
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        loader = "torch" if (folder / PROGRAM).is_file() else "timm"
        raise Corrupt(f"{loader} cannot load {folder}: {error}") from None
    source = config["pretrained_cfg"]
    mean, std = tuple(source["mean"]), tuple(source["std"])
    return Exported(model, source["input_size"][1], tuple(config["label_names"]), mean, std, manifest, device)


def _load(folder: Path, device: torch.device) -> nn.Module:
    if (folder / PROGRAM).is_file():
        return load_program(folder / PROGRAM, device)
    model: nn.Module = timm.create_model(f"local-dir:{folder.resolve()}", pretrained=True).eval()
    return model.to(device)


def accuracy(exported: Exported, split: Split) -> float:
    """Top-1 in [0, 1]. Raises BadInput if the split has labels that the model does not know."""
    if len(split) and int(split.labels.max()) >= len(exported.classes):
        raise BadInput(
            f"The data has label {int(split.labels.max())}, the model {len(exported.classes)} classes: "
            "it was trained for another task."
        )
    return float((exported.probabilities(split.images).argmax(axis=1) == split.labels).mean())


def classify(exported: Exported, images: Sequence[np.ndarray]) -> list[tuple[str, float]]:
    """(class name, probability) of each (size, size, 3) uint8 image."""
    probabilities = exported.probabilities(np.stack(images))
    return [(exported.classes[int(row.argmax())], float(row.max())) for row in probabilities]
