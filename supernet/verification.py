"""Verify an export: its files are those that were written, and a fresh process computes what the subnet computed."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from supernet.errors import BadInput, Corrupt, Missing
from supernet.program import PROGRAM, require_plain

TOLERANCE = 1e-4  # of the largest logit: float32 rounding of the merged weights, measured at 1e-7 to 1e-6


@dataclass(frozen=True)
class Verified:
    """What a fresh process with timm and torch found."""

    loads_with: str  # `timm`, or `torch.export` where the export is a program
    outcomes: dict[str, dict[str, int]]  # merged, compiled, kept -> gene -> how many
    tensors: int
    largest_logit: float
    largest_difference: float


def read_manifest(folder: Path) -> dict[str, Any]:
    """export.json. Raises Missing if the folder is no export, Corrupt if the file cannot be read."""
    path = folder / "export.json"
    if not path.is_file():
        raise Missing(f"{folder} is no export: {path.name} is missing. `glora-search export NAME --to DIR` writes one.")
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        manifest["sha256"].items()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Corrupt(f"{path} cannot be read ({error}). Export the subnet again.") from None
    return manifest


def require_whole(folder: Path) -> dict[str, Any]:
    """The manifest, once every file is there and has the bytes that were written. Raises Missing or Corrupt."""
    manifest = read_manifest(folder)
    for name, digest in manifest["sha256"].items():
        path = folder / name
        if not path.is_file():
            raise Missing(f"{path} is missing. Export the subnet again.")
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                raise Corrupt(f"{path} was altered since it was exported. Export the subnet again.")
    return manifest


def verify(folder: Path) -> Verified:
    """Raises Missing or Corrupt with the first thing that is wrong, BadInput where a package is missing."""
    manifest = require_whole(folder)
    if program := PROGRAM in manifest["sha256"]:
        require_plain(folder / PROGRAM)
    script = Path(__file__).with_name("standalone.py")
    run = subprocess.run(
        [sys.executable, "-P", str(script), str(folder)],  # -P: no file beside the script shadows a package
        capture_output=True,
        text=True,
        env=_environment(),
    )
    if run.returncode != 0:
        last = (run.stderr.strip().splitlines() or ["no message"])[-1]
        if last.startswith(ModuleNotFoundError.__name__):
            raise BadInput(f"{folder} cannot be verified: {sys.executable} says {last}. Install that package there.")
        raise Corrupt(f"{'torch' if program else 'timm'} cannot load {folder}: {last}")
    found = json.loads(run.stdout.strip().splitlines()[-1])
    if found["differing_tensors"] or found["missing_tensors"]:
        raise Corrupt(
            f"timm loaded {folder}, but {found['differing_tensors']} tensors differ from model.safetensors and "
            f"{found['missing_tensors']} are not in it. Check config.json."
        )
    if not found["largest_difference"] <= TOLERANCE * max(1.0, found["largest_logit"]):
        raise Corrupt(
            f"The logits of {folder} differ from the subnet's by {found['largest_difference']:.2e} "
            f"(largest logit {found['largest_logit']:.2f}): the export does not compute the subnet."
        )
    return Verified(
        loads_with="torch.export" if program else "timm",
        outcomes=manifest.get("outcomes", {}),  # not in exports of earlier versions
        tensors=found["tensors"],
        largest_logit=found["largest_logit"],
        largest_difference=found["largest_difference"],
    )


def _environment() -> dict[str, str]:
    """Offline, and without the working directory on the path: it is what an empty part of PYTHONPATH means."""
    parts = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": os.pathsep.join(filter(None, parts))}
