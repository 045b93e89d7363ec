"""VTAB-1K on disk: a folder a task, with file lists that name its splits.

    <root>[/<name>]/train800.txt, val200.txt, test.txt      lines such as `images/train800/000000.jpg 307`
    <root>[/<name>]/classes.txt                             optional: the name of each class, one a line

Paths are relative to the folder. The number of classes is that of the task by its folder's name, else that of
classes.txt, else the largest label of train and val plus one. The test list is read when the test set is opened, and
not before.
"""

from __future__ import annotations

import re
from collections.abc import Set
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from supernet.data.images import decode_all
from supernet.data.split import Data, Split
from supernet.errors import BadInput, Missing
from supernet.settings import DataSettings

CLASSES = {
    "cifar": 100, "caltech101": 102, "dtd": 47, "oxford_flowers102": 102, "oxford_iiit_pet": 37, "svhn": 10,
    "sun397": 397, "patch_camelyon": 2, "eurosat": 10, "resisc45": 45, "diabetic_retinopathy": 5, "clevr_count": 8,
    "clevr_dist": 6, "dmlab": 6, "kitti": 4, "dsprites_loc": 16, "dsprites_ori": 16, "smallnorb_azi": 18,
    "smallnorb_ele": 9,
}  # fmt: skip
ALIASES = {"cifar100": "cifar", "oxford_pet": "oxford_iiit_pet"}
_LINE = re.compile(r"(?P<path>\S.*?)\s+(?P<label>-?[0-9]+)")  # split at the last blank: a name may hold blanks


class Entry(NamedTuple):
    line: int  # in its list, from 1
    path: str  # relative to the task's folder
    label: int


def load(settings: DataSettings, image_size: int) -> Data:
    """Read train800 and val200. Raises Missing for a folder, list or image that is not there, BadInput for a list that
    is empty, has a malformed line or a label out of range, and for an image listed in two splits."""
    folder = _folder(settings)
    train, val = _read(folder / "train800.txt"), _read(folder / "val200.txt")
    classes = _classes(folder, 1 + max(entry.label for entry in train + val))
    _refuse_shared(folder / "val200.txt", val, {entry.path for entry in train})
    seen = frozenset(entry.path for entry in train + val)
    return Data(
        train=_split(folder / "train800.txt", train, classes, image_size),
        val=_split(folder / "val200.txt", val, classes, image_size),
        classes=classes,
        tests=MappingProxyType({"test": partial(_open_test, folder / "test.txt", seen, classes, image_size)}),
    )


def _open_test(path: Path, seen: frozenset[str], classes: tuple[str, ...], image_size: int) -> Split:
    entries = _read(path)
    _refuse_shared(path, entries, seen)
    return _split(path, entries, classes, image_size)


def _folder(settings: DataSettings) -> Path:
    if settings.root is None:
        raise BadInput("data.root is missing: data.source `vtab` needs the folder that holds the tasks, or one task")
    root = Path(settings.root).expanduser()
    names = [settings.name, ALIASES.get(settings.name, settings.name)] if settings.name else [""]
    for name in names:
        if (root / name).is_dir():
            return root / name
    raise Missing(f"{root / names[-1]}: expected a VTAB-1K task's folder, with train800.txt (data.root, data.name)")


def _read(path: Path) -> list[Entry]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        raise Missing(f"{path} is not there; VTAB-1K's lists are train800.txt, val200.txt and test.txt") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} could not be read as text: {error}") from error
    entries = [_entry(path, number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
    if not entries:
        raise BadInput(f"{path} is empty: expected lines such as `images/train800/000000.jpg 307`")
    return entries


def _entry(path: Path, number: int, line: str) -> Entry:
    match = _LINE.fullmatch(line)
    if match is None:
        raise BadInput(f"{path}, line {number}: expected `PATH LABEL`, such as `images/0.jpg 3`, found {line!r}")
    return Entry(number, match["path"], int(match["label"]))


def _classes(folder: Path, fallback: int) -> tuple[str, ...]:
    path, names = folder / "classes.txt", tuple[str, ...]()
    if path.is_file():
        try:
            names = tuple(line.strip() for line in path.read_text(encoding="utf-8").strip().split("\n"))
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"{path} could not be read as text: {error}") from error
    task = folder.resolve().name
    count = CLASSES.get(ALIASES.get(task, task)) or len(names) or fallback
    return names if len(names) == count else tuple(str(label) for label in range(count))


def _refuse_shared(path: Path, entries: list[Entry], seen: Set[str]) -> None:
    for entry in entries:
        if entry.path in seen:
            raise BadInput(f"{path}, line {entry.line}: {entry.path} is in another split as well; keep it in one")


def _split(path: Path, entries: list[Entry], classes: tuple[str, ...], image_size: int) -> Split:
    for entry in entries:
        if not 0 <= entry.label < len(classes):
            raise BadInput(f"{path}, line {entry.line}: label {entry.label} is not in 0 to {len(classes) - 1}")
    return Split(
        images=decode_all([path.parent / entry.path for entry in entries], image_size),
        labels=np.array([entry.label for entry in entries], np.int64),
        examples=tuple(entry.path for entry in entries),
    )
