import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm.data
import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset

from supernet.data import Data, load_data
from supernet.errors import BadInput, Missing
from supernet.settings import DataSettings


def load(root: Path, name: str | None = None, seed: int = 0) -> Data:
    return load_data(DataSettings(source="timm", root=str(root), name=name, train=8, val=4, seed=seed), 4)


def write_folders(root: Path, split: str, classes: str, count: int) -> None:
    for name in classes:
        (root / split / name).mkdir(parents=True)
        for index in range(count):
            image = np.full((5, 5, 3), ord(name), np.uint8)
            Image.fromarray(image).save(root / split / name / f"{index}.png")


def write_cifar10(root: Path) -> None:
    """CIFAR-10's own files, with ten images a batch: torchvision's checksums are of the real ones."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir()
    for name in [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]:
        batch = {"data": np.zeros((10, 3072), np.uint8), "labels": list(range(10))}
        (folder / name).write_bytes(pickle.dumps(batch))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": [f"class {n}" for n in range(10)]}))


def test_torchvision_sets_draw_train_and_val_from_train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar10(tmp_path)
    monkeypatch.setattr("torchvision.datasets.CIFAR10._check_integrity", lambda _: True)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    data, other = load(tmp_path, "torch/cifar10"), load(tmp_path, "torch/cifar10", seed=1)
    assert (len(data.train), len(data.val), len(data.tests["test"]())) == (8, 4, 10)
    assert not set(data.train.examples) & set(data.val.examples)
    assert data.train.examples != other.train.examples
    assert data.classes[9] == "class 9"
    assert data.tests["test"]().examples[0] == "torch/cifar10:test[0]"


@pytest.mark.parametrize("name", [None, "torch/image_folder"])
def test_folders_keep_splits_apart_and_number_classes_as_train_does(tmp_path: Path, name: str | None) -> None:
    write_folders(tmp_path, "train", "abc", 5)
    write_folders(tmp_path, "val", "bc", 2)
    data = load(tmp_path, name)
    test = data.tests["test"]()
    assert data.classes == ("a", "b", "c")
    assert test.labels.tolist() == [1, 1, 2, 2]
    assert test.images[:, 0, 0, 0].tolist() == [ord(data.classes[label]) for label in test.labels]


def test_a_folder_without_splits_is_refused_rather_than_read_for_both(tmp_path: Path) -> None:
    write_folders(tmp_path, "", "ab", 10)
    with pytest.raises(Missing, match="expected a folder train"):
        load(tmp_path)
    write_folders(tmp_path, "train", "ab", 10)
    with pytest.raises(Missing, match="expected a folder test"):
        load(tmp_path).tests["test"]()


def test_a_broken_image_is_named_and_not_replaced_by_its_neighbour(tmp_path: Path) -> None:
    write_folders(tmp_path, "train", "ab", 6)
    for path in (tmp_path / "train").glob("*/*.png"):
        path.write_text("broken")
    with pytest.raises(BadInput, match=r"train\[\d+\] does not decode"):
        load(tmp_path)


class Stream(IterableDataset[tuple[Image.Image, int]]):
    def __iter__(self) -> Iterator[tuple[Image.Image, int]]:
        for index in range(20):
            yield Image.fromarray(np.full((5, 5, 3), index, np.uint8)), index % 2


def test_streams_are_read_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timm.data, "create_dataset", lambda *_, **__: Stream())
    data = load(tmp_path, "tfds/anything")
    indices = [int(name.split("[")[1][:-1]) for name in data.train.examples]
    assert data.train.images[:, 0, 0, 0].tolist() == indices
    assert data.train.labels.tolist() == [index % 2 for index in indices]


class Labelled(Dataset[tuple[Image.Image, int]]):
    """Images that are all alike, under these targets and names."""

    def __init__(self, targets: Any, class_to_idx: dict[str, int]) -> None:
        self.targets, self.class_to_idx = targets, class_to_idx

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return Image.new("RGB", (5, 5)), 0


Splits = Callable[..., Data]


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Splits:
    def loaded(**splits: Labelled) -> Data:
        """What is made of these splits, as timm opens them."""
        monkeypatch.setattr(timm.data, "create_dataset", lambda *_, split, **__: splits[split])
        return load(tmp_path, "hfds/anything")

    return loaded


NAMES = {"a": 0, "b": 1, "c": 2}
TRAIN = Labelled([0, 1, 2] * 8, NAMES)


def test_a_test_split_without_all_its_labels_gives_way_to_one_that_has_them(loaded: Splits) -> None:
    for unlabelled in ([-1, -1, -1], [0, 1, -1]):
        data = loaded(train=TRAIN, test=Labelled(unlabelled, NAMES), valid=Labelled([2, 0], {"a": 0, "c": 1, "b": 2}))
        assert data.tests["test"]().labels.tolist() == [1, 0]


def test_a_data_set_whose_test_splits_have_no_labels_is_not_scored(loaded: Splits) -> None:
    data = loaded(train=TRAIN, test=Labelled([-1, -1], NAMES), validation=Labelled([-1, 0], {}))
    with pytest.raises(BadInput, match=r"anything:test: no split has labels for all its examples .tried test, valid"):
        data.tests["test"]()


def test_a_label_beyond_the_names_of_the_test_split_is_refused(loaded: Splits) -> None:
    data = loaded(train=TRAIN, test=Labelled([1, 2], {"b": 0, "c": 1}))
    with pytest.raises(BadInput, match=r"test\[1\]: label 2 is not in 0 to 1"):
        data.tests["test"]()


@pytest.mark.parametrize(
    ("numbered", "classes"),
    [
        ({"tench": 0, "Tinca tinca": 0, "shark": 1, "great white": 1}, ("tench", "shark")),
        ({"shark": 1, "tench": 0, "white shark": 1}, ("tench", "shark")),
        ({"tench": 0, "shark": 2}, ("0", "1")),
    ],
)
def test_a_class_has_the_first_of_its_names_or_its_number(
    loaded: Splits, numbered: dict[str, int], classes: tuple[str, ...]
) -> None:
    data = loaded(train=Labelled([0, 1] * 8, numbered), test=Labelled([1, 0], numbered))
    assert data.classes == classes
    assert data.tests["test"]().labels.tolist() == [1, 0]


def test_the_first_of_several_columns_is_the_label(loaded: Splits) -> None:
    columns = torch.tensor([[2, 7, 900], [0, 7, 901], [1, 7, 902]])
    data = loaded(train=TRAIN, test=Labelled(columns, NAMES))
    assert data.tests["test"]().labels.tolist() == [2, 0, 1]


@pytest.mark.parametrize("name", ["torch/cifar10", "hfds/nobody/nothing", "tfds/nothing", "torch/unknown"])
def test_what_cannot_be_opened_says_what_to_pass_instead(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(BadInput, match=r"train split could not be opened .* pass data\.source `folder` or `vtab`"):
        load(tmp_path, name)
    assert not capsys.readouterr().out


def test_a_name_without_a_prefix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="expected one that starts with torch/, hfds/"):
        load(tmp_path, "cifar10")
    with pytest.raises(BadInput, match=r"data\.root is missing"):
        load_data(DataSettings(source="timm"), 4)
