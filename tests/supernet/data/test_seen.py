"""A test split that is drawn is tested on only if it is certain that nothing in it was trained or chosen on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from supernet.data import Data, load_data
from supernet.data.seen import as_seen, require_unseen, seen
from supernet.errors import BadInput, Corrupt
from supernet.settings import DataSettings


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of two classes of 20 images each, no two alike."""
    for label, name in enumerate(("cat", "dog")):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for index in range(20):
            image = Image.fromarray(np.full((4, 4, 3), 100 * label + index, np.uint8))
            image.save(tmp_path / "pets" / name / f"{index:02}.png")
    return tmp_path / "pets"


@pytest.fixture
def settings(root: Path) -> DataSettings:
    return DataSettings(source="folder", root=str(root), train=10, val=6, seed=3)


@pytest.fixture
def known(settings: DataSettings) -> dict[str, Any]:
    """As it is in export.json."""
    found: dict[str, Any] = json.loads(json.dumps(seen(settings, load(settings))))
    return found


def load(settings: DataSettings) -> Data:
    return load_data(settings, 4)


def test_the_same_source_and_root_are_split_as_the_campaign_split_them(
    root: Path, settings: DataSettings, known: dict[str, Any]
) -> None:
    found = as_seen("folder", str(root.parent / "." / "pets"), known)
    assert found == settings
    require_unseen(load(found), known, chosen=False)


def test_a_folder_that_was_moved_is_known_by_its_images(root: Path, known: dict[str, Any]) -> None:
    found = as_seen("folder", str(root.rename(root.with_name("moved"))), known)
    require_unseen(load(found), known, chosen=False)


@pytest.mark.parametrize("change", [{"seed": 0}, {"train": 9}, {"val": 5}])
@pytest.mark.parametrize("chosen", [True, False])
def test_other_splits_are_refused_whoever_chose_them(
    settings: DataSettings, known: dict[str, Any], change: dict[str, int], chosen: bool
) -> None:
    with pytest.raises(BadInput, match=r"are not those that the export was trained and chosen on: .* Pass the"):
        require_unseen(load(settings.model_copy(update=change)), known, chosen)


def test_splits_of_images_that_changed_are_refused(root: Path, settings: DataSettings, known: dict[str, Any]) -> None:
    (root / "cat" / "00.png").unlink()
    with pytest.raises(BadInput, match="are not those"):
        require_unseen(load(settings), known, chosen=False)


def test_where_the_export_does_not_know_its_splits_only_chosen_ones_are_believed(settings: DataSettings) -> None:
    assert as_seen("folder", settings.root, None) == DataSettings(source="folder", root=settings.root)
    require_unseen(load(settings), None, chosen=True)
    with pytest.raises(BadInput, match=r"of an earlier version, does not say .* folder with given splits"):
        require_unseen(load(settings), None, chosen=False)


def test_a_test_split_of_its_own_is_never_refused(root: Path, known: dict[str, Any]) -> None:
    given = root.with_name("given")
    for split in ("train", "val", "test"):
        shutil.copytree(root, given / split)
    data = load(as_seen("folder", str(given), known))
    require_unseen(data, known, chosen=False)
    require_unseen(data, None, chosen=False)


def test_another_source_has_nothing_of_the_campaigns(known: dict[str, Any]) -> None:
    assert as_seen("digits", None, known) == DataSettings(source="digits")


@pytest.mark.parametrize("wrong", [{}, {"settings": {"source": "nowhere"}}, {"settings": None}, []])
def test_a_record_that_is_none_is_corrupt(wrong: Any) -> None:
    with pytest.raises(Corrupt, match=r"The data section of export\.json cannot be read"):
        as_seen("digits", None, wrong)
