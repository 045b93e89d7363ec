"""A split seen again: every image altered at random, so often, as training alters its own.

A subnet's loss on a few hundred images is a noisy measure of it. That on altered copies of the same images is another
one of the same thing, as far as an altered image is what other images of the class look like.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from supernet.augmentation import augmented
from supernet.data import Split
from supernet.randomness import torch_generator

AT_ONCE = 256  # images that are altered together, as float32


def views(split: Split, kinds: Sequence[str], count: int, seed: int) -> Split:
    """`count` altered copies of the split, one whole copy after the other; copy k is a function of (seed, k).

    `kinds` are those of `supernet.augmentation`; labels stay, and `a.png` becomes `a.png, view 2`.
    """
    images = [_altered(split.images, kinds, torch_generator(seed, "views", number)) for number in range(count)]
    names = [f"{name}, view {number}" for number in range(1, count + 1) for name in split.examples]
    return Split(np.concatenate(images), np.tile(split.labels, count), tuple(names))


def _altered(images: np.ndarray, kinds: Sequence[str], generator: torch.Generator) -> np.ndarray:
    """(n, h, w, 3) uint8 -> the same, altered."""
    parts = np.array_split(images, -(-len(images) // AT_ONCE))
    found = [augmented(torch.tensor(part).permute(0, 3, 1, 2), kinds, generator) for part in parts]
    return torch.cat(found).permute(0, 2, 3, 1).contiguous().numpy()
