"""Altered images: from the generator alone, each image its own, and each kind does what its name says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from supernet.augmentation import augmented

KINDS = ("flip", "shift", "crop", "color")


@pytest.fixture(scope="module")
def smooth() -> Tensor:
    """(32, 3, 32, 32) uint8: gradients in both directions, so that a moved image is another one."""
    x, y = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="xy")
    one = torch.stack([7 * x, 7 * y, 3 * (x + y)]).to(torch.uint8)
    return one.expand(32, 3, 32, 32)


def drawn(images: Tensor, *kinds: str, seed: int = 0) -> Tensor:
    return augmented(images, kinds, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_alters_images_by_its_generator_alone(smooth: Tensor, kind: str) -> None:
    before = torch.get_rng_state()
    first, again, other = drawn(smooth, kind), drawn(smooth, kind), drawn(smooth, kind, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert first.dtype == torch.uint8
    assert first.shape == smooth.shape
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert len({image.numpy().tobytes() for image in first}) > (1 if kind == "flip" else 20)


def test_without_kinds_images_stay_as_they_are(smooth: Tensor) -> None:
    assert torch.equal(drawn(smooth), smooth)


def test_a_flip_mirrors_about_half_of_the_images_exactly(smooth: Tensor) -> None:
    found = drawn(smooth, "flip")
    mirrored = sum(torch.equal(image, original.flip(2)) for image, original in zip(found, smooth, strict=True))
    same = sum(torch.equal(image, original) for image, original in zip(found, smooth, strict=True))
    assert mirrored + same == len(smooth)
    assert 8 <= mirrored <= 24


def test_a_shift_moves_by_at_most_an_eighth(smooth: Tensor) -> None:
    """On a ramp of 7 a pixel, the centre's value says how far it moved."""
    moved = (drawn(smooth, "shift")[:, :2, 15, 15].float() - smooth[:, :2, 15, 15].float()).abs() / 7  # pixels
    assert moved.max() <= 32 / 8 + 0.1
    assert moved.max() > 2


def test_a_crop_sees_half_of_the_area_or_more_and_nothing_outside(smooth: Tensor) -> None:
    found = drawn(smooth, "crop").float()
    width = (found[:, 0, 16, 30] - found[:, 0, 16, 1]) / (7 * 29)  # of the image's
    height = (found[:, 1, 30, 16] - found[:, 1, 1, 16]) / (7 * 29)
    assert torch.allclose(width, height, atol=0.03)
    assert width.min() >= np.sqrt(0.5) - 0.03
    assert width.max() <= 1.01


def test_color_keeps_every_edge_where_it_is(smooth: Tensor) -> None:
    middle = (smooth // 4 + 90).contiguous()  # far from 0 and 255, where values would be clipped
    found = drawn(middle, "color")
    for image, original in zip(found, middle, strict=True):
        order = original[0].flatten().argsort(stable=True)
        assert (image[0].flatten()[order].diff() >= 0).all()


@pytest.mark.parametrize("kind", ["flip", "shift", "crop"])
def test_what_has_no_structure_stays_as_it_is(kind: str) -> None:
    grey = torch.full((4, 3, 16, 16), 77, dtype=torch.uint8)
    assert torch.equal(drawn(grey, kind), grey)
