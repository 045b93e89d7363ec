"""scikit-learn's handwritten digits: 1,797 images of 8 x 8 pixels in ten classes, which need no download."""

from __future__ import annotations

from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

import numpy as np
from PIL import Image

from supernet.data.images import squash
from supernet.data.split import Data, Split
from supernet.data.stratified import draw
from supernet.errors import BadInput
from supernet.settings import DataSettings


def load(settings: DataSettings, image_size: int) -> Data:
    """Draw train and val with the seed; the rest is the test set. Raises BadInput if scikit-learn is missing."""
    _, labels = _digits()
    drawn = draw(labels, settings.train, settings.val, settings.seed, "digits")
    take = partial(_split, image_size=image_size)
    return Data(
        train=take(drawn.train),
        val=take(drawn.val),
        classes=tuple(str(label) for label in range(10)),
        tests=MappingProxyType({"test": partial(take, drawn.rest)}),
        drawn=True,
    )


@cache
def _digits() -> tuple[np.ndarray, np.ndarray]:
    """(1797, 8, 8) grey values 0 to 16, and (1797,) labels; importing scikit-learn would take a second."""
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        raise BadInput("data.source `digits` needs scikit-learn: `pip install 'glora-search[demo]'`")
    file = Path(package.origin).with_name("datasets") / "data" / "digits.csv.gz"
    rows = np.loadtxt(file, delimiter=",", dtype=np.int64)  # 64 pixels and the label each
    return rows[:, :-1].reshape(-1, 8, 8).astype(np.float64), rows[:, -1]


def _split(indices: np.ndarray, image_size: int) -> Split:
    images, labels = _digits()
    grey = np.rint(images[indices] * (255 / 16)).astype(np.uint8)  # (n, 8, 8)
    return Split(
        images=np.stack([squash(Image.fromarray(image), image_size) for image in grey]),
        labels=labels[indices],
        examples=tuple(f"digits[{index}]" for index in indices),
    )
