"""The command line, as a person's shell starts it: a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROGRAM = (sys.executable, "-c", "from glora_search.cli import main; main()")


def environment() -> dict[str, str]:
    """This process's, with the packages of this checkout, and without a hub that could be asked."""
    return os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}


def places(folder: Path) -> tuple[str, ...]:
    """The options that keep a campaign inside a folder."""
    return ("--db", str(folder / "glora.db"), "--runs", str(folder / "runs"))


def output(*arguments: str) -> str:
    """What the command writes to stdout. Raises CalledProcessError if it fails; what it says goes to our stderr."""
    run = subprocess.run([*PROGRAM, *arguments], check=True, stdout=subprocess.PIPE, text=True, env=environment())
    return run.stdout
