import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from supernet.data import Data, load_data
from supernet.errors import BadInput, Missing
from supernet.settings import DataSettings


def write(root: Path, counts: dict[str, int]) -> Path:
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for index in range(count):
            suffix = ".JPG" if index % 2 else ".png"
            Image.fromarray(np.full((5, 7, 3), index, np.uint8)).save(root / name / f"{index:02}{suffix}")
    return root


def load(root: Path, train: int = 8, val: int = 4, seed: int = 0) -> Data:
    return load_data(DataSettings(source="folder", root=str(root), train=train, val=val, seed=seed), 4)


def test_one_tree_is_drawn_into_three_parts_that_share_nothing(tmp_path: Path) -> None:
    data = load(write(tmp_path, {"dog": 10, "cat": 10, "rare": 1}))
    test = data.tests["test"]()
    assert data.classes == ("cat", "dog", "rare")
    assert [len(split) for split in (data.train, data.val, test)] == [8, 4, 9]
    assert len({*data.train.examples, *data.val.examples, *test.examples}) == 21
    assert "rare/00.png" in data.train.examples
    assert all(
        data.classes[label] == name.split("/")[0] for name, label in zip(test.examples, test.labels, strict=True)
    )


def test_the_seed_decides_what_is_drawn(tmp_path: Path) -> None:
    root = write(tmp_path, {"a": 20, "b": 20})
    assert load(root).train.examples == load(root).train.examples != load(root, seed=1).train.examples


def test_folders_named_for_splits_are_the_splits(tmp_path: Path) -> None:
    for split, count in {"train": 3, "val": 2, "test": 4}.items():
        write(tmp_path / split, {"a": count, "b": count})
    data = load(tmp_path, train=1, val=1)
    assert (len(data.train), len(data.val), len(data.tests["test"]())) == (6, 4, 8)
    assert data.val.examples[0] == "val/a/00.png"


def test_without_val_it_is_drawn_from_train_and_the_rest_is_trained_on(tmp_path: Path) -> None:
    write(tmp_path / "train", {"a": 6, "b": 6})
    data = load(tmp_path)
    assert (len(data.train), len(data.val)) == (8, 4)
    assert not set(data.train.examples) & set(data.val.examples)
    with pytest.raises(BadInput, match=r"data\.val 12 is drawn from train, which has 12"):
        load(tmp_path, val=12)


def test_a_test_folder_may_go_and_only_opening_it_fails(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write(tmp_path / split, {"a": 6, "b": 6})
    before = load(tmp_path)
    shutil.rmtree(tmp_path / "test")
    after = load(tmp_path)
    assert before.train.key() == after.train.key()
    for data in (before, after):
        with pytest.raises(Missing, match="test is not there"):
            data.tests["test"]()


def test_drawn_test_images_that_are_deleted_later_are_missed_on_opening(tmp_path: Path) -> None:
    data = load(write(tmp_path, {"a": 10, "b": 10}))
    left = {*data.train.examples, *data.val.examples}
    for path in tmp_path.glob("*/*"):
        if path.relative_to(tmp_path).as_posix() not in left:
            path.unlink()
    with pytest.raises(Missing, match="is named but is not there"):
        data.tests["test"]()


def test_a_class_that_train_lacks_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "train", {"a": 6, "b": 6})
    write(tmp_path / "test", {"a": 1, "zebra": 1})
    with pytest.raises(BadInput, match="no class 'zebra'"):
        load(tmp_path).tests["test"]()


def test_what_is_no_tree_of_classes_is_said(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="is not there"):
        load(tmp_path / "gone")
    with pytest.raises(BadInput, match="expected two folders or more"):
        load(write(tmp_path / "one", {"a": 3}))
    with pytest.raises(BadInput, match="b holds no image"):
        load(write(tmp_path / "empty", {"a": 3, "b": 0}))
    write(tmp_path / "no_train" / "test", {"a": 1, "b": 1})
    with pytest.raises(Missing, match="test but no train"):
        load(tmp_path / "no_train")
    with pytest.raises(BadInput, match=r"data\.root is missing"):
        load_data(DataSettings(source="folder"), 4)
    with pytest.raises(BadInput, match="more than the 6 examples"):
        load(write(tmp_path / "few", {"a": 3, "b": 3}))
