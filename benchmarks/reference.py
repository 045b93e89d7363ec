"""The reference way, written down from the paper's formula and its code's behaviour: weights rebuilt at every forward.

    y = x (W0 + W0 * A + B)^T + b0 + b0 * D + E + W0 @ C                                      (1)

at every Linear of the blocks, in every forward, in training and in search; float32, timm's attention as it ships; one
form of each support drawn uniformly a layer a step; candidates are scored from image files, through a data loader of 8
processes that is started for each candidate, 256 images a batch.
Source: GLoRA (arXiv 2306.07967); behaviour of Arnav0400/ViT-Slim, folder GLoRA: layer.py, engine.py, data/vtab.py.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from supernet.backbone import Backbone, build
from supernet.data import Split
from supernet.sites import linears

BATCH, PROCESSES = 256, 8  # of its data loader in search
EPOCHS, BATCH_SIZE, CANDIDATES = 500, 64, 1050  # of its recipe

Forms = Mapping[str, str]  # support -> form


# ---- the operator


class Factors(nn.Module):
    """down @ up (rows, columns), of which the smaller forms are parts."""

    def __init__(self, rows: int, columns: int, rank: int) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.zeros(rows, rank))
        self.up = nn.Parameter(nn.init.xavier_uniform_(torch.empty(rank, columns)))

    def value(self, form: str) -> Tensor:
        """(rows, columns), (rows, 1) or ()."""
        match form:
            case "vector":
                return self.down[:, :1]
            case "scalar":
                return self.down[0, 0]
            case "none":
                return self.down.new_zeros(self.down.shape[0], self.up.shape[1])
            case _:
                return self.down @ self.up


class Shift(nn.Module):
    def __init__(self, rows: int) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.zeros(rows))

    def value(self, form: str) -> Tensor:
        """(rows,), () or (1,)."""
        match form:
            case "vector":
                return self.down
            case "scalar":
                return self.down[0]
            case _:
                return self.down.new_zeros(1)


class Rebuilt(nn.Module):
    """Equation (1) at one Linear."""

    def __init__(self, op: nn.Linear, rank: int) -> None:
        super().__init__()
        out, width = op.weight.shape
        self.op = op
        self.A, self.B, self.C = Factors(out, width, rank), Factors(out, width, rank), Factors(width, 1, rank)
        self.D, self.E = Shift(out), Shift(out)
        matrix, vector = (f"lora{rank}", "vector", "scalar", "none"), ("vector", "scalar", "none")
        self.alphabet = {"A": matrix, "B": matrix, "C": (f"lora{rank}", "vector", "none"), "D": vector, "E": vector}
        self.forms: Forms | None = None  # None: drawn at every forward

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        forms = self.forms or {name: random.choice(known) for name, known in self.alphabet.items()}
        a, b, c, d, e = (self.get_submodule(name).value(forms[name]) for name in "ABCDE")  # type: ignore[operator]
        weight, bias = self.op.weight, self.op.bias
        return F.linear(x, weight + weight * a + b, bias + bias * d + e + (weight @ c).squeeze())


def adapted(backbone: Backbone, rank: int, drop_path: float = 0.1) -> nn.Module:
    """The backbone with (1) at every Linear of its blocks; the supports and the head are trained."""
    model = build(backbone, drop_path)
    for path, op in list(linears(model)):
        model.set_submodule(path, Rebuilt(op, rank))
    head: nn.Module = model.get_classifier()  # type: ignore[operator]
    nn.init.trunc_normal_(head.weight, std=0.01)  # type: ignore[arg-type]
    head.requires_grad_(True)
    return model


def choose(model: nn.Module, forms: Mapping[str, Forms]) -> None:
    """Fix the forms of each layer, by its path."""
    for path, chosen in forms.items():
        site = model.get_submodule(path)
        assert isinstance(site, Rebuilt)
        site.forms = dict.fromkeys("ABCDE", "none") | chosen


# ---- its search


class Files(Dataset[tuple[Tensor, int]]):
    """Image files, decoded and transformed one by one. They have the model's size already, which favours this way."""

    def __init__(self, folder: Path, labels: np.ndarray, backbone: Backbone) -> None:
        self.folder, self.labels = folder, labels
        size = (backbone.image_size, backbone.image_size)
        bicubic = transforms.InterpolationMode.BICUBIC
        steps = [transforms.Resize(size, bicubic), transforms.ToTensor()]
        self.transform = transforms.Compose([*steps, transforms.Normalize(backbone.mean, backbone.std)])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        with Image.open(self.folder / f"{index}.png") as image:
            return self.transform(image.convert("RGB")), int(self.labels[index])


def write(split: Split, folder: Path) -> None:
    """A PNG for each image."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, image in enumerate(split.images):
        Image.fromarray(image).save(folder / f"{index}.png")


class Evaluation:
    """Scores candidates as the reference does."""

    def __init__(
        self, model: nn.Module, split: Split, backbone: Backbone, folder: Path, processes: int = PROCESSES
    ) -> None:
        write(split, folder)
        self.model = model.eval()
        self.loader = DataLoader(Files(folder, split.labels, backbone), BATCH, num_workers=processes)
        self.batches = list(DataLoader(self.loader.dataset, BATCH))

    def score(self, forms: Mapping[str, Forms]) -> float:
        """Top-1 accuracy, in [0, 1]; the loader's processes are started and ended."""
        return self._score(forms, self.loader)

    def score_in_memory(self, forms: Mapping[str, Forms]) -> float:
        """The same without a loader, which the reference has not."""
        return self._score(forms, self.batches)

    @torch.no_grad()
    def _score(self, forms: Mapping[str, Forms], batches: Iterable[tuple[Tensor, Tensor]]) -> float:
        choose(self.model, forms)
        device = next(self.model.parameters()).device
        right = count = 0
        for images, labels in batches:
            right += int((self.model(images.to(device)).argmax(dim=1) == labels.to(device)).sum())
            count += len(labels)
        return right / count
