"""A folder of images for each class: either one such tree, which the seed splits, or one for each split.

    <root>/<class>/*.png                        train and val are drawn, the rest is the test set
    <root>/{train,val,test}/<class>/*.png       are the splits; without val, it is drawn from train

Classes are the folders' names, in order. Which examples are drawn depends on the files present: put back what is taken
away before a campaign is resumed.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from supernet.data.images import decode_all
from supernet.data.split import Data, Split
from supernet.data.stratified import draw
from supernet.errors import BadInput, Missing
from supernet.settings import DataSettings

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"})


class Listing(NamedTuple):
    """Images that are known by name and not yet decoded."""

    root: Path
    examples: tuple[str, ...]  # relative to root
    labels: np.ndarray  # (n,) int64

    def take(self, indices: np.ndarray) -> Listing:
        return Listing(self.root, tuple(self.examples[index] for index in indices), self.labels[indices])

    def open(self, image_size: int) -> Split:
        images = decode_all([self.root / example for example in self.examples], image_size)
        return Split(images, self.labels, self.examples)


def load(settings: DataSettings, image_size: int) -> Data:
    """Decode train and val. Raises Missing for a folder that is not there, BadInput for one without classes or images,
    for a class that train does not have, and for splits larger than what is there."""
    if settings.root is None:
        raise BadInput("data.root is missing: data.source `folder` needs the folder that holds one folder a class")
    root = Path(settings.root).expanduser() / (settings.name or "")
    if not root.is_dir():
        raise Missing(f"{root}: expected a folder of images by class (data.root, data.name), but it is not there")
    present = {name for name in ("train", "val", "test") if any(map(Path.is_dir, _visible(root / name)))}
    if present and "train" not in present:
        raise Missing(f"{root} has {' and '.join(sorted(present))} but no train: expected {root / 'train'}/CLASS/")
    return _given(root, settings, image_size) if present else _drawn(root, settings, image_size)


def _drawn(root: Path, settings: DataSettings, image_size: int) -> Data:
    classes = _classes(root)
    listing = _list(root, root, classes)
    drawn = draw(listing.labels, settings.train, settings.val, settings.seed, str(root))
    return Data(
        train=listing.take(drawn.train).open(image_size),
        val=listing.take(drawn.val).open(image_size),
        classes=classes,
        tests=MappingProxyType({"test": partial(listing.take(drawn.rest).open, image_size)}),
        drawn=True,
    )


def _given(root: Path, settings: DataSettings, image_size: int) -> Data:
    classes = _classes(root / "train")
    train = _list(root, root / "train", classes)
    if (root / "val").is_dir():
        val = _list(root, root / "val", classes)
    else:
        drawn = draw(train.labels, _rest(train, settings), settings.val, settings.seed, str(root), keep=0)
        train, val = train.take(drawn.train), train.take(drawn.val)
    return Data(
        train=train.open(image_size),
        val=val.open(image_size),
        classes=classes,
        tests=MappingProxyType({"test": lambda: _list(root, root / "test", classes).open(image_size)}),
    )


def _rest(train: Listing, settings: DataSettings) -> int:
    """How many examples are left to train on once val is drawn from them."""
    count = len(train.labels)
    if settings.val >= count:
        raise BadInput(f"{train.root}: data.val {settings.val} is drawn from train, which has {count}: lower data.val")
    return count - settings.val


def _classes(folder: Path) -> tuple[str, ...]:
    classes = tuple(path.name for path in _visible(folder) if path.is_dir())
    if len(classes) < 2:
        raise BadInput(f"{folder}: expected two folders or more, one a class, found {list(classes)}")
    empty = [name for name in classes if not _images(folder / name)]
    if empty:
        raise BadInput(f"{folder / empty[0]} holds no image ({', '.join(sorted(SUFFIXES))}): remove it or fill it")
    return classes


def _list(root: Path, folder: Path, classes: tuple[str, ...]) -> Listing:
    if not folder.is_dir():
        raise Missing(f"{folder} is not there: expected {folder}/CLASS/ with the images of that split")
    foreign = [path.name for path in _visible(folder) if path.is_dir() and path.name not in classes]
    if foreign:
        raise BadInput(f"{folder / foreign[0]}: there is no class {foreign[0]!r} among those of train")
    found = [(path, label) for label, name in enumerate(classes) for path in _images(folder / name)]
    if not found:
        raise BadInput(f"{folder}: expected images in folders named for the classes, found none")
    examples = tuple(path.relative_to(root).as_posix() for path, _ in found)
    return Listing(root, examples, np.array([label for _, label in found], np.int64))


def _images(folder: Path) -> list[Path]:
    return [path for path in _visible(folder) if path.suffix.lower() in SUFFIXES]


def _visible(folder: Path) -> list[Path]:
    """What is in `folder`, by name; nothing if it is not there."""
    return sorted(path for path in folder.glob("*") if not path.name.startswith("."))
