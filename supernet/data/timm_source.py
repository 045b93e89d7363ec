"""Data sets by a name of timm's `create_dataset`: `torch/cifar10`, `hfds/OWNER/NAME`, `tfds/NAME`, or none: a folder.

train and val are drawn with the seed from the data set's training split, test is its test split, or its validation
split where it has no other with labels. Nothing is downloaded by torchvision's sources: their files belong under
data.root.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from supernet.data.images import decode_file, squash
from supernet.data.split import Data, Split
from supernet.data.stratified import draw
from supernet.errors import BadInput, Missing
from supernet.settings import DataSettings

_PREFIXES = ("torch", "hfds", "hfids", "tfds", "wds")
_TRAIN = ("train", "training")
_TEST = ("test", "validation", "valid", "val")


def load(settings: DataSettings, image_size: int) -> Data:
    """Decode the examples drawn from the training split. Raises BadInput for a data set that timm cannot open."""
    dataset = next(_opened(settings, _TRAIN))
    labels = _labels(dataset)
    classes = _class_names(dataset) or tuple(str(label) for label in range(1 + int(labels.max(initial=0))))
    name = settings.name or str(settings.root)
    drawn = draw(labels, settings.train, settings.val, settings.seed, f"{name} train", keep=0)
    return Data(
        train=_split(dataset, drawn.train, labels, classes, f"{name}:train", image_size),
        val=_split(dataset, drawn.val, labels, classes, f"{name}:train", image_size),
        classes=classes,
        tests=MappingProxyType({"test": partial(_open_test, settings, classes, f"{name}:test", image_size)}),
    )


def _open_test(settings: DataSettings, classes: tuple[str, ...], source: str, image_size: int) -> Split:
    """The first test split whose examples all have labels: those of a challenge are -1."""
    for dataset in _opened(settings, _TEST):
        labels = _labels(dataset)
        if (labels >= 0).all():
            labels = _as_in_train(labels, _class_names(dataset), classes, source)
            return _split(dataset, np.arange(len(labels)), labels, classes, source, image_size)
    raise BadInput(f"{source}: no split has labels for all its examples (tried {', '.join(_TEST)})")


def _as_in_train(labels: np.ndarray, names: tuple[str, ...], classes: tuple[str, ...], source: str) -> np.ndarray:
    """A test split may lack a class, and number the others differently: (n,) labels, numbered as `classes`."""
    foreign = sorted(set(names) - set(classes))
    if foreign:
        raise BadInput(f"{source}: there is no class {foreign[0]!r} among those of train")
    if not names:
        return labels
    _require_labels(labels, np.arange(len(labels)), len(names), source)
    renumbered: np.ndarray = np.array([classes.index(name) for name in names], np.int64)[labels]
    return renumbered


def _opened(settings: DataSettings, splits: Sequence[str]) -> Iterator[Any]:
    """Those of `splits` that timm can open, one at least. Raises BadInput, or Missing for the test split."""
    from timm.data import create_dataset

    name, prefix = settings.name or "", (settings.name or "").partition("/")[0].lower()
    if name and prefix not in _PREFIXES:
        raise BadInput(f"data.name {name!r}: expected one that starts with {', '.join(p + '/' for p in _PREFIXES)}")
    if not name or name.lower() in ("torch/image_folder", "torch/folder"):
        yield create_dataset(name, root=str(_split_folder(settings, splits)), search_split=False)
        return
    errors: list[Exception] = []
    for split in splits:
        try:
            with contextlib.redirect_stdout(sys.stderr):  # readers print what is missing
                dataset = create_dataset(name, root=settings.root, split=split, download=False)
        except Exception as error:  # torchvision, datasets and tensorflow_datasets each raise their own
            errors.append(error)
        else:
            yield dataset
    if len(errors) < len(splits):
        return
    kind = Missing if splits is _TEST else BadInput
    raise kind(
        f"data.name {name!r}: its {splits[0]} split could not be opened ({type(errors[0]).__name__}: {errors[0]}). "
        "Put its files under data.root, install the package that reads it, or pass data.source `folder` or `vtab`"
    ) from errors[0]


def _split_folder(settings: DataSettings, splits: Sequence[str]) -> Path:
    """timm reads the whole root when a split's folder is absent, and so would show the test set to training."""
    if settings.root is None:
        raise BadInput("data.root is missing: data.source `timm` without a data.name reads a folder")
    root = Path(settings.root).expanduser()
    for split in splits:
        if (root / split).is_dir():
            return root / split
    raise Missing(f"{root}: expected a folder {splits[0]}/CLASS/; data.source `folder` can draw the splits")


def _labels(dataset: Any) -> np.ndarray:
    """(n,) int64, without decoding where the data set knows its labels; below 0 where an example has none."""
    reader = getattr(dataset, "reader", dataset)
    if hasattr(reader, "targets"):
        labels = reader.targets
    elif hasattr(reader, "samples"):
        labels = [label for _, label in reader.samples]
    elif hasattr(reader, "iter_targets"):
        labels = [-1 if label is None else label for label in reader.iter_targets()]
    else:
        labels = [label for _, label in dataset]
    found = np.asarray(labels, np.int64)
    return found if found.ndim == 1 else found[:, 0]  # QMNIST's have the writer and more behind the class


def _class_names(dataset: Any) -> tuple[str, ...]:
    """In the order of the labels, the first of synonyms; empty where the data set does not name each."""
    reader = getattr(dataset, "reader", dataset)
    numbered: dict[str, int] = getattr(reader, "class_to_idx", None) or {}
    names: dict[int, str] = {}
    for name, number in numbered.items():
        names.setdefault(number, str(name))
    return tuple(names[number] for number in sorted(names)) if set(names) == set(range(len(names))) else ()


def _split(
    dataset: Any, indices: np.ndarray, labels: np.ndarray, classes: tuple[str, ...], source: str, image_size: int
) -> Split:
    labels = labels[indices]
    _require_labels(labels, indices, len(classes), source)
    names = tuple(f"{source}[{index}]" for index in indices)
    images = np.empty((len(indices), image_size, image_size, 3), np.uint8)
    if not _streams(dataset):
        for row, index in enumerate(indices.tolist()):
            images[row] = _image(dataset, index, names[row], image_size)
        return Split(images, labels, names)
    rows = {index: row for row, index in enumerate(indices.tolist())}
    for index, (image, _) in enumerate(dataset):
        if index in rows:
            images[rows[index]] = squash(image, image_size)
    return Split(images, labels, names)


def _require_labels(labels: np.ndarray, indices: np.ndarray, classes: int, source: str) -> None:
    """Raises BadInput on a label that is none of a class."""
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(wrong):
        raise BadInput(f"{source}[{indices[wrong[0]]}]: label {labels[wrong[0]]} is not in 0 to {classes - 1}")


def _streams(dataset: Any) -> bool:
    from torch.utils.data import IterableDataset

    return isinstance(dataset, IterableDataset)


def _image(dataset: Any, index: int, name: str, size: int) -> np.ndarray:
    """Through the reader, if there is one: timm's ImageDataset puts the next example in the place of a broken one."""
    if hasattr(dataset, "reader"):
        file = dataset.reader[index][0]
        with file:
            return decode_file(file, name, size)
    try:
        image = dataset[index][0]
    except Exception as error:
        raise BadInput(f"{name} does not decode as an image: {error}") from error
    return squash(image, size)
