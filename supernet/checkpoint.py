"""Supernets and trainings on disk: safetensors files, named in their headers, written whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from supernet.errors import BadInput, Corrupt, Missing
from supernet.trained import Trained, digest_of
from supernet.training import Checkpoint


def save_trained(trained: Trained, path: Path, about: dict[str, Any]) -> None:
    """Write whole or not at all: into a temporary file that is renamed. `about` must be plain JSON data."""
    header = {"about": json.dumps(about | {"seconds": trained.seconds}), "fingerprint": trained.fingerprint}
    _write(dict(trained.tensors), path, header)


def load_trained(path: Path) -> tuple[Trained, dict[str, Any]]:
    """(what was trained, about). Raises Missing without the file, Corrupt if it is not what was written."""
    if not path.is_file():
        raise Missing(f"The supernet {path} is gone. Launch the campaign under another name to train it anew.")
    tensors, header = _read(path, "supernet")
    try:
        about = json.loads(header["about"])
        trained = Trained(tensors, seconds=about["seconds"])
    except (KeyError, ValueError) as error:
        raise _corrupt(path, "supernet", error) from None
    if trained.fingerprint != header.get("fingerprint"):
        raise Corrupt(f"The supernet {path} was altered: its tensors do not match its fingerprint. Delete it.")
    return trained, about


def save_checkpoint(checkpoint: Checkpoint, path: Path, recipe: str) -> None:
    """Write a training between two steps, whole or not at all; the one before is replaced."""
    state = dict(checkpoint.state)
    header = {
        "recipe": recipe,
        "step": str(checkpoint.step),
        "seconds": repr(checkpoint.seconds),
        "digest": digest_of(state),
    }
    _write(state, path, header)


def load_checkpoint(path: Path, recipe: str) -> Checkpoint | None:
    """The checkpoint of this recipe, None without one. Raises Corrupt if it is not what was written."""
    if not path.is_file():
        return None
    state, header = _read(path, "checkpoint")
    try:
        if header["recipe"] != recipe:
            return None
        checkpoint = Checkpoint(int(header["step"]), float(header["seconds"]), state)
        if header["digest"] != digest_of(state):
            raise ValueError("its tensors were altered")
    except (KeyError, ValueError) as error:
        raise _corrupt(path, "checkpoint", error) from None
    return checkpoint


def _write(tensors: dict[str, np.ndarray], path: Path, header: dict[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        contiguous = {name: np.ascontiguousarray(array) for name, array in tensors.items()}  # others save scrambled
        save_file(contiguous, partial, metadata=header)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except (OSError, SafetensorError) as error:
        raise BadInput(f"{path} cannot be written ({error}). Make room or pass another --runs, and resume.") from None
    finally:
        partial.unlink(missing_ok=True)


def _read(path: Path, what: str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    try:
        with safe_open(path, framework="numpy") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            return tensors, file.metadata() or {}
    except (SafetensorError, ValueError, OSError) as error:
        raise _corrupt(path, what, error) from None


def _corrupt(path: Path, what: str, error: Exception) -> Corrupt:
    return Corrupt(f"The {what} {path} cannot be read ({error}). Delete it and launch again.")
