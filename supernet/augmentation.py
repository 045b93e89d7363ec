"""Training images, altered at random where they lie: on the device, a batch at a time.

Each image gets its own affine map, from output places to input places in [-1, 1] (height and width alike):

    x_in = zoom * mirror * x_out + move                                                      (1)

| kind    | what is drawn for each image                                                                  |
|---------|-----------------------------------------------------------------------------------------------|
| `flip`  | mirror = -1 for the width with probability 1/2                                                |
| `shift` | move within an eighth of the image to each side                                               |
| `crop`  | zoom so that 50% to 100% of the area is seen, one factor for both sides, anywhere inside      |
| `color` | contrast and brightness by a factor within [0.7, 1.3], each channel by one within [0.9, 1.1]  |

What lies outside the image repeats its edge. Interpolation is bilinear. Sources: random resized crop as in Szegedy et
al. 2015 (without its change of aspect); colour jitter as in torchvision, without hue.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

MOVE = 0.25  # of the coordinate's range of 2: an eighth of the image
AREA = 0.5  # the least that a crop sees
JITTER, TINT = 0.3, 0.1


def augmented(images: Tensor, kinds: Sequence[str], generator: torch.Generator) -> Tensor:
    """(n, 3, h, w) uint8 -> the same, altered. The generator is a CPU's, so that every device draws the same."""
    found = images.float()
    if geometry := [kind for kind in kinds if kind != "color"]:
        found = _moved(found, geometry, generator)
    if "color" in kinds:
        found = _coloured(found, generator)
    return found.round().clamp(0, 255).to(torch.uint8) if kinds else images


def _moved(images: Tensor, kinds: Sequence[str], generator: torch.Generator) -> Tensor:
    """Equation (1) on (n, 3, h, w) float32."""
    count = len(images)
    zoom, move = torch.ones(count, 2), torch.zeros(count, 2)  # x, y
    if "crop" in kinds:
        zoom = (AREA + (1 - AREA) * torch.rand(count, 1, generator=generator)).sqrt().expand(count, 2).clone()
        move = move + (2 * torch.rand(count, 2, generator=generator) - 1) * (1 - zoom)
    if "shift" in kinds:
        move = move + (2 * torch.rand(count, 2, generator=generator) - 1) * MOVE
    if "flip" in kinds:
        zoom[:, 0] *= torch.where(torch.rand(count, generator=generator) < 0.5, -1.0, 1.0)
    affine = torch.cat([torch.diag_embed(zoom), move[:, :, None]], dim=2)  # (n, 2, 3)
    grid = F.affine_grid(affine.to(images.device), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _coloured(images: Tensor, generator: torch.Generator) -> Tensor:
    """(n, 3, h, w) float32 in [0, 255], about its own mean."""

    def factors(channels: int, spread: float) -> Tensor:
        drawn = 1 + spread * (2 * torch.rand(len(images), channels, 1, 1, generator=generator) - 1)
        return drawn.to(images.device)

    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return ((images - mean) * factors(1, JITTER) + mean * factors(1, JITTER)) * factors(3, TINT)
