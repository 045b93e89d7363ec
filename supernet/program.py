"""A model that is no plain timm model any more, as a file that torch alone loads: its traced program and its tensors.

    model = torch.export.load("model.pt2").module()
    logits = model(images)       # (n, 3, size, size) float32, normalised, any n -> (n, classes)

What a subnet wraps around the backbone is in the program, so no code of ours is needed where it runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from torch import nn

PROGRAM = "model.pt2"


def save_program(model: nn.Module, image_size: int, path: Path) -> None:
    """Trace the model, in eval mode, for any number of images."""
    some = torch.zeros(2, 3, image_size, image_size)
    shapes = ({0: torch.export.Dim("images")},)
    frozen = model.eval().requires_grad_(False)
    with torch.no_grad():
        program = torch.export.export(frozen, (some,), dynamic_shapes=shapes, strict=False)
    torch.export.save(program, path)


def load_program(path: Path) -> nn.Module:
    """The model, which has no training mode."""
    return cast(nn.Module, torch.export.load(path).module())
