from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from supernet.checkpoint import load_checkpoint, load_trained, save_checkpoint, save_trained
from supernet.errors import Corrupt, Missing
from supernet.trained import Trained
from supernet.training import Checkpoint

ABOUT = {"name": "digits", "space": {"ranks": [4, 2]}, "note": "é"}


def trained() -> Trained:
    generator = np.random.default_rng(0)
    tensors = {"a.up": generator.normal(size=(3, 4)), "a.down": np.zeros((4, 3)), "head.bias": generator.normal(size=5)}
    return Trained({name: array.astype(np.float32) for name, array in tensors.items()}, seconds=12.5)


def checkpoint() -> Checkpoint:
    state = {name: np.random.default_rng(i).normal(size=7).astype(np.float32) for i, name in enumerate("mvt")}
    return Checkpoint(step=41, seconds=0.1 + 0.2, state=state)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_trained(trained(), tmp_path / "folder" / "supernet.safetensors", ABOUT)
    return tmp_path / "folder" / "supernet.safetensors"


# Supernets


def test_a_supernet_comes_back_bit_by_bit_with_all_that_names_it(saved: Path) -> None:
    found, about = load_trained(saved)
    assert found.fingerprint == trained().fingerprint
    assert found.seconds == 12.5
    assert about == ABOUT | {"seconds": 12.5}
    for name, array in trained().tensors.items():
        assert found.tensors[name].tobytes() == array.tobytes()
        assert found.tensors[name].dtype == array.dtype
    assert [path.name for path in saved.parent.iterdir()] == ["supernet.safetensors"], "nothing else is left there"


def test_arrays_in_any_memory_order_are_saved_as_they_read(tmp_path: Path) -> None:
    array = np.asfortranarray(np.arange(12, dtype=np.float32).reshape(3, 4))
    save_trained(Trained({"a": array, "b": array.T[::2]}, 0.0), tmp_path / "x", {})
    found, _ = load_trained(tmp_path / "x")
    assert np.array_equal(found.tensors["a"], array)
    assert np.array_equal(found.tensors["b"], array.T[::2])


def test_saving_again_replaces_what_was_there(saved: Path) -> None:
    save_trained(Trained({"other": np.ones(2, np.float32)}, 0.0), saved, {})
    assert set(load_trained(saved)[0].tensors) == {"other"}


def test_a_save_that_fails_leaves_the_earlier_file_and_nothing_else(saved: Path) -> None:
    before = saved.read_bytes()
    with pytest.raises(TypeError, match="not JSON serializable"):
        save_trained(trained(), saved, {"about": object()})
    with pytest.raises(Exception, match="dtype"):
        save_trained(Trained({"a": np.array(["text"])}, 0.0), saved, {})
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_a_supernet_that_is_gone_is_missing(saved: Path) -> None:
    with pytest.raises(Missing, match=r"gone\.safetensors is gone\. Launch"):
        load_trained(saved.with_name("gone.safetensors"))
    with pytest.raises(Missing):
        load_trained(saved.parent)


def test_a_file_cut_short_anywhere_is_corrupt(saved: Path) -> None:
    whole = saved.read_bytes()
    for length in (0, 1, 7, 8, 9, 100, len(whole) // 2, len(whole) - 1):
        saved.write_bytes(whole[:length])
        with pytest.raises(Corrupt, match=r"supernet\.safetensors cannot be read \(.*\)\. Delete it"):
            load_trained(saved)


def test_altered_tensors_are_corrupt_even_in_a_file_that_can_be_read(saved: Path) -> None:
    header = {"about": '{"seconds": 1}', "fingerprint": trained().fingerprint}
    tensors = load_file(saved)
    changes = [
        tensors | {"a.down": tensors["a.down"] + 1},
        tensors | {"extra": tensors["a.down"]},
        {name: array for name, array in tensors.items() if name != "a.up"},
        tensors | {"a.up": tensors["a.up"].reshape(4, 3)},
    ]
    for change in changes:
        save_file(change, saved, metadata=header)
        with pytest.raises(Corrupt, match="was altered: its tensors do not match its fingerprint"):
            load_trained(saved)
    save_file(tensors, saved)
    with pytest.raises(Corrupt, match="cannot be read"):
        load_trained(saved)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bytes], Path]:
    path = tmp_path_factory.mktemp("scratch") / "supernet.safetensors"

    def write(contents: bytes) -> Path:
        path.write_bytes(contents)
        return path

    return write


@settings(max_examples=150)
@given(data=st.data())
def test_no_byte_can_change_without_being_noticed(scratch: Callable[[bytes], Path], data: st.DataObject) -> None:
    """But those of `about` and of the seconds, which the fingerprint does not cover."""
    path = scratch(b"")
    save_trained(trained(), path, ABOUT)
    contents = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(contents) - 1))
    contents[place] ^= data.draw(st.integers(1, 255))
    scratch(bytes(contents))
    try:
        found, _ = load_trained(path)
    except Corrupt:
        return
    assert found.fingerprint == trained().fingerprint


# Trainings between two steps


def test_a_checkpoint_comes_back_to_the_recipe_that_made_it_and_to_no_other(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    assert load_checkpoint(path, "recipe") is None
    save_checkpoint(checkpoint(), path, "recipe")
    found = load_checkpoint(path, "recipe")
    assert found is not None
    assert (found.step, found.seconds) == (41, 0.1 + 0.2)
    assert {name: array.tobytes() for name, array in found.state.items()} == {
        name: array.tobytes() for name, array in checkpoint().state.items()
    }
    assert load_checkpoint(path, "another") is None


def test_a_checkpoint_that_was_cut_or_altered_is_corrupt(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(checkpoint(), path, "recipe")
    whole = path.read_bytes()
    for damaged in (whole[:20], whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1])):
        path.write_bytes(damaged)
        with pytest.raises(
            Corrupt, match=r"checkpoint\.safetensors cannot be read \(.*\)\. Delete it and launch again"
        ):
            load_checkpoint(path, "recipe")
