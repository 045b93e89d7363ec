"""From a file to pixels: decoded to RGB and squashed to a square, without cropping."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from supernet.errors import BadInput, Missing


def decode_all(paths: Sequence[Path], size: int) -> np.ndarray:
    """(n, size, size, 3) uint8, in the order of `paths`. Raises what `decode` raises for the first path that fails."""
    images = np.empty((len(paths), size, size, 3), np.uint8)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for index, image in enumerate(pool.map(lambda path: decode(path, size), paths)):
            images[index] = image
    return images


def decode(path: Path, size: int) -> np.ndarray:
    """(size, size, 3) uint8 RGB. Raises Missing if `path` is not there, BadInput if it is not a whole, sane image."""
    try:
        with path.open("rb") as file:
            return decode_file(file, str(path), size)
    except FileNotFoundError:
        raise Missing(f"{path}: the image is named but is not there") from None
    except OSError as error:
        raise BadInput(f"{path} could not be read: {error.strerror or error}") from error


def decode_file(file: BinaryIO, name: str, size: int) -> np.ndarray:
    """As `decode`, of an open file; `name` is what errors call it."""
    try:
        with Image.open(file) as image:
            if image.width * image.height > (Image.MAX_IMAGE_PIXELS or math.inf):  # PIL warns; twice that is its error
                raise _bomb(name, image.width * image.height)
            return squash(image, size)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        pixels = re.search(r"\((\d+) pixels\)", str(error))
        raise _bomb(name, int(pixels.group(1)) if pixels else None) from error
    except (MemoryError, BadInput):
        raise
    except Exception as error:  # PIL's decoders fail each in their own way: OSError, SyntaxError, struct.error
        raise BadInput(f"{name} does not decode as an image ({error}): mend it or take it out") from error


def squash(image: Image.Image, size: int) -> np.ndarray:
    """(size, size, 3) uint8 RGB: bicubic, to a square whatever the sides were. Transparency is dropped."""
    if image.mode.startswith("I;16"):  # PIL would clip 16 bits at 255
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if "transparency" in image.info and image.mode == "P":
        image = image.convert("RGBA")
    return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC))


def _bomb(name: str, pixels: int | None) -> BadInput:
    limit = (Image.MAX_IMAGE_PIXELS or 0) / 1e6
    found = f"{pixels / 1e6:.4g} megapixels" if pixels else "far more pixels"
    return BadInput(f"{name}: expected an image of at most {limit:.4g} megapixels, found {found}: shrink it")
