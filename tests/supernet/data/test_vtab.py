from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from supernet.data import Data, load_data
from supernet.errors import BadInput, Missing
from supernet.settings import DataSettings

LISTS = {"train800.txt": 6, "val200.txt": 3, "test.txt": 4}


def write(folder: Path, label_of: int = 3) -> Path:
    """A task of 13 images in three classes, whose names hold blanks."""
    (folder / "images").mkdir(parents=True)
    for name, count in LISTS.items():
        lines = []
        for index in range(count):
            path = f"images/{name[:-4]} no {index}.png"
            Image.fromarray(np.full((5, 7, 3), 10 * index, np.uint8)).save(folder / path)
            lines.append(f"{path} {index % label_of}\n")
        (folder / name).write_text("".join(lines))
    return folder


def load(root: Path, name: str | None = None) -> Data:
    return load_data(DataSettings(source="vtab", root=str(root), name=name), 4)


def edit(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new))


def test_the_three_lists_are_the_three_splits(tmp_path: Path) -> None:
    data = load(write(tmp_path / "pets"))
    test = data.tests["test"]()
    assert [len(split) for split in (data.train, data.val, test)] == [6, 3, 4]
    assert len({*data.train.examples, *data.val.examples, *test.examples}) == 13
    assert data.train.examples[1] == "images/train800 no 1.png"
    assert data.train.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert data.train.images[5, 0, 0].tolist() == [50, 50, 50]
    assert data.classes == ("0", "1", "2")


def test_test_files_may_go_and_only_opening_the_test_set_fails(tmp_path: Path) -> None:
    folder = write(tmp_path / "pets")
    for path in [folder / "test.txt", *folder.glob("images/test*")]:
        path.unlink()
    data = load(folder)
    assert len(data.train) == 6
    with pytest.raises(Missing, match=r"test\.txt is not there"):
        data.tests["test"]()


@pytest.mark.parametrize(("given", "folder"), [("cifar", "cifar"), ("cifar100", "cifar"), ("cifar100", "cifar100")])
def test_a_known_task_has_its_classes_under_either_name(tmp_path: Path, given: str, folder: str) -> None:
    write(tmp_path / folder)
    assert len(load(tmp_path, given).classes) == 100
    assert len(load(tmp_path / folder).classes) == 100


def test_classes_txt_names_them_with_or_without_a_last_newline(tmp_path: Path) -> None:
    folder = write(tmp_path / "pets")
    (folder / "classes.txt").write_text("cat\nguinea pig\ndog\ncow")
    assert load(folder).classes == ("cat", "guinea pig", "dog", "cow")


def test_windows_line_ends_and_blank_lines_do_no_harm(tmp_path: Path) -> None:
    folder = write(tmp_path / "pets")
    (folder / "val200.txt").write_bytes((folder / "val200.txt").read_bytes().replace(b"\n", b"\r\n") + b"\r\n\r\n")
    assert len(load(folder).val) == 3


def test_a_label_out_of_range_is_named_with_its_line(tmp_path: Path) -> None:
    folder = write(tmp_path / "pets")
    (folder / "classes.txt").write_text("cat\ndog\n")
    with pytest.raises(BadInput, match=r"train800\.txt, line 3: label 2 is not in 0 to 1"):
        load(folder)
    edit(folder / "train800.txt", "no 0.png 0", "no 0.png -1")
    with pytest.raises(BadInput, match=r"train800\.txt, line 1: label -1"):
        load(folder)


def test_a_label_that_only_the_test_list_has_is_refused_when_it_is_opened(tmp_path: Path) -> None:
    folder = write(tmp_path / "pets")
    edit(folder / "test.txt", "no 3.png 0", "no 3.png 7")
    with pytest.raises(BadInput, match=r"test\.txt, line 4: label 7 is not in 0 to 2"):
        load(folder).tests["test"]()


@pytest.mark.parametrize("line", ["images/0.png", "3", "images/0.png three", "images/0.png 1.5"])
def test_a_malformed_line_is_named_with_its_number(tmp_path: Path, line: str) -> None:
    folder = write(tmp_path / "pets")
    (folder / "val200.txt").write_text(f"images/val200 no 0.png 0\n\n{line}\n")
    with pytest.raises(BadInput, match=r"val200\.txt, line 3: expected `PATH LABEL`"):
        load(folder)


def test_lists_that_are_missing_empty_or_no_text_are_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "pets")
    (folder / "val200.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match=r"val200\.txt could not be read as text"):
        load(folder)
    (folder / "val200.txt").write_text("\n")
    with pytest.raises(BadInput, match=r"val200\.txt is empty"):
        load(folder)
    (folder / "val200.txt").unlink()
    with pytest.raises(Missing, match=r"val200\.txt is not there"):
        load(folder)


def test_an_image_that_is_listed_but_absent_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "pets")
    (folder / "images" / "val200 no 2.png").unlink()
    with pytest.raises(Missing, match=r"val200 no 2\.png"):
        load(folder)


def test_an_example_in_two_splits_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "pets")
    edit(folder / "test.txt", "test no 1", "val200 no 1")
    with pytest.raises(BadInput, match=r"test\.txt, line 2: images/val200 no 1.png is in another split"):
        load(folder).tests["test"]()
    edit(folder / "val200.txt", "val200 no 2", "train800 no 5")
    with pytest.raises(BadInput, match=r"val200\.txt, line 3"):
        load(folder)


def test_a_root_that_is_missing_or_not_given_is_said(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="expected a VTAB-1K task's folder"):
        load(tmp_path, "svhn")
    with pytest.raises(BadInput, match=r"data\.root is missing"):
        load_data(DataSettings(source="vtab"), 4)
