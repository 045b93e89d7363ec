"""The arrows of docs/architecture.md hold, the light modules stay light, and no file grows beyond its budget."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("glora_search", "workers", "db", "supernet")
BUDGET = 300  # lines
OVER_BUDGET = {  # file -> why it is longer
    "db/store.py": "one short verb a need: the store's whole vocabulary on one page; the work is done beside it",
    "glora_search/cli.py": "one function a command, which is its name, options and help; Typer stays in one file",
}
OFFENDERS = {  # a line that breaks a contract -> (where it stands, the contract)
    "import glora_search.cli": ("supernet/offender.py", "The arrows point down"),
    "import supernet.space": ("db/offender.py", "supernet and db import nothing of ours"),
    "import torch": ("supernet/space.py", "The space knows no torch"),
    "import ray": ("glora_search/offender.py", "Ray is imported in workers only"),
    "import sqlalchemy": ("workers/offender.py", "SQLAlchemy and alembic are imported in db only"),
    "import deap.tools": ("supernet/offender.py", "DEAP is imported in the evolution only"),
    "import typer": ("glora_search/offender.py", "Typer is imported in the CLI only"),
    "import numpy": ("db/offender.py", "The store needs no torch"),
}


def lint(tree: Path) -> subprocess.CompletedProcess[str]:
    """import-linter on the packages in `tree`, which it finds there before the installed ones."""
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run([program, "--no-cache"], cwd=tree, capture_output=True, text=True, timeout=120)


def test_every_import_contract_is_kept() -> None:
    run = lint(ROOT)
    assert run.returncode == 0, run.stdout + run.stderr


def test_an_offending_import_breaks_each_contract(tmp_path: Path) -> None:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for line, (place, _) in OFFENDERS.items():
        with (tmp_path / place).open("a", encoding="utf-8") as file:
            file.write(f"\n{line}\n")
    report = lint(tmp_path).stdout
    for _, contract in OFFENDERS.values():
        assert f"{contract} BROKEN" in report, report


@pytest.mark.parametrize("module", ["db", "glora_search.cli", "glora_search.settings"])
def test_light_modules_import_nothing_heavy(module: str) -> None:
    """What `--help`, a config's check and the store's types need, starts at once."""
    heavy = {"torch", "timm", "ray", "sqlalchemy", "alembic", "deap", "numpy", "matplotlib"}
    script = f"import sys, {module}; print(*sorted({heavy!r} & sys.modules.keys()))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []


def test_only_files_with_a_reason_exceed_the_budget() -> None:
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    long = {path.relative_to(ROOT).as_posix() for path in files if len(path.read_text().splitlines()) > BUDGET}
    assert long == OVER_BUDGET.keys(), "split the file, or give its reason here; take out what is short again"
