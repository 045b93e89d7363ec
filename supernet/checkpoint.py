"""Supernets on disk: one safetensors file with what was trained and, in its header, everything that names it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from supernet.errors import Corrupt, Missing
from supernet.trained import Trained


def save_trained(trained: Trained, path: Path, about: dict[str, Any]) -> None:
    """Write whole or not at all: into a temporary file that is renamed. `about` must be plain JSON data."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    header = {"about": json.dumps(about | {"seconds": trained.seconds}), "fingerprint": trained.fingerprint}
    save_file(dict(trained.tensors), partial, metadata=header)
    partial.replace(path)


def load_trained(path: Path) -> tuple[Trained, dict[str, Any]]:
    """(what was trained, about). Raises Missing without the file, Corrupt if it is not what was written."""
    if not path.is_file():
        raise Missing(f"The supernet {path} is gone. Launch the campaign under another name to train it anew.")
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        about = json.loads(header["about"])
        trained = Trained(tensors, seconds=about["seconds"])
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise Corrupt(
            f"The supernet {path} cannot be read ({error}). Delete it and launch again to train it."
        ) from None
    if trained.fingerprint != header.get("fingerprint"):
        raise Corrupt(f"The supernet {path} was altered: its tensors do not match its fingerprint. Delete it.")
    return trained, about
