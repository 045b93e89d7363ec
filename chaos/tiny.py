"""A real campaign of seconds: timm's `test_vit` with numbers of its own, and images of three classes of grey."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file

SIZE, CLASSES = 32, 3  # pixels, labels
COUNTS = {"train800": 48, "val200": 24, "test": 60}  # examples


def tiny(folder: Path, /, **sections: Mapping[str, Any] | str | int) -> Path:
    """Write weights, data and a config below `folder`; the config's path. `sections` are merged into the config.

    What is there already is used again, so that several campaigns of one folder share their supernet.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights, data = folder / "test_vit.safetensors", folder / "greys"
    if not weights.exists():
        write_weights(weights)
    if not data.exists():
        write_greys(data)
    values = config(weights, data, **sections)
    path = folder / f"{values['name']}.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


def config(weights: Path, data: Path, /, **sections: Mapping[str, Any] | str | int) -> dict[str, Any]:
    """The campaign as plain data: a search of 18 candidates."""
    plain: dict[str, Any] = {
        "name": "tiny",
        "backbone": {"model": "test_vit", "weights": str(weights), "image_size": SIZE},
        "data": {"source": "vtab", "root": str(data)},
        "training": {"epochs": 2, "batch_size": 24, "warmup_epochs": 0, "learning_rate": 5e-3},
        "search": {"population": 6, "generations": 2, "parents": 3, "crossover": 3, "mutation": 3, "finalists": 2},
        "workers": {"backend": "local", "threads": 1},
    }
    for key, value in sections.items():
        plain[key] = plain.get(key, {}) | value if isinstance(value, Mapping) else value
    return plain


def write_weights(path: Path) -> None:
    """Seeded numbers, large enough to tell classes apart."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = timm.create_model("test_vit", pretrained=False, num_classes=0, img_size=SIZE)
        state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
        state |= {name: torch.randn_like(t) / t.shape[1] ** 0.5 for name, t in state.items() if t.ndim == 2}
    save_file(state, path)


def write_greys(folder: Path) -> Path:
    """A VTAB-1K task: noise around a grey of the class."""
    generator = np.random.default_rng(0)
    for name, count in COUNTS.items():
        (folder / "images" / name).mkdir(parents=True)
        lines = [f"images/{name}/{number:03}.png {number % CLASSES}\n" for number in range(count)]
        for line in lines:
            path, label = line.split()
            pixels = generator.integers(-60, 60, (8, 8, 3)) + 80 + 40 * int(label)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / path)
        (folder / f"{name}.txt").write_text("".join(lines))
    return folder
