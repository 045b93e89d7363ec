"""Examples on a device: a split's arrays (uint8) moved once, normalised a batch at a time."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


class DeviceImages:
    """The images of a split, on a device, normalised by channel when they are asked for."""

    def __init__(
        self,
        images: np.ndarray,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
        device: torch.device,
    ) -> None:
        """images (n, height, width, 3) uint8, may be read-only; mean and std in [0, 1]."""
        self.images = torch.tensor(images, device=device).permute(0, 3, 1, 2).contiguous()  # (n, 3, h, w) uint8
        self.scale = (1 / (255 * torch.tensor(std, device=device))).view(1, 3, 1, 1)
        self.shift = (-torch.tensor(mean, device=device) / torch.tensor(std, device=device)).view(1, 3, 1, 1)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: slice | Tensor) -> Tensor:
        """(batch, 3, h, w) float32, (value / 255 - mean) / std."""
        return self.normalised(self.images[index])

    def normalised(self, images: Tensor) -> Tensor:
        """(batch, 3, h, w) uint8 -> float32, (value / 255 - mean) / std."""
        return torch.addcmul(self.shift, images.float(), self.scale)
