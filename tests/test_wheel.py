"""The wheel, installed where nothing else of this repository is, runs beside a user's own `db.py` and `workers.py`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(900)  # starts Ray and ten processes that import torch, perhaps on busy cores
ROOT = Path(__file__).parent.parent
PACKAGES = ("glora_search", "workers", "db", "supernet")
CONFIG = """\
name: tiny
backbone: {model: test_vit, weights: tiny.safetensors, image_size: 32}
data: {source: digits}
training: {epochs: 1}
search: {population: 4, generations: 1, parents: 2, crossover: 2, mutation: 2}
workers: {threads: 1}
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that no build/ is left in the repository; offline, with the setuptools that is here."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(built), str(source))
    (found,) = built.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def program(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The console script in a venv that holds the wheel, and sees this one's packages but not its editable install:
    the .pth files of a folder that a .pth file names are not read."""
    home = tmp_path_factory.mktemp("venv")
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin" / "python"
    (site,) = home.glob("lib/python*/site-packages")
    (site / "outer.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip("--python", str(python), "install", "--no-deps", "--no-index", "--ignore-installed", str(wheel))
    return home / "bin" / "glora-search"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's folder: a config, weights, and modules that bear the names of our packages."""
    import timm
    import torch
    from safetensors.torch import save_file

    for package in ("db", "workers", "supernet"):
        (tmp_path / f"{package}.py").write_text(f"raise ImportError('the user has a {package}.py of their own')\n")
    torch.manual_seed(0)
    save_file(timm.create_model("test_vit", pretrained=False).state_dict(), tmp_path / "tiny.safetensors")
    (tmp_path / "tiny.yaml").write_text(CONFIG)
    return tmp_path


def pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def run(program: Path, folder: Path, *arguments: str) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [str(program), *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_holds_the_packages_and_their_data(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name.partition("/")[0] for name in names if ".dist-info" not in name} == set(PACKAGES)
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*"):
            if path.is_file() and path.suffix != ".pyc":
                assert path.relative_to(ROOT).as_posix() in names, "add it to tool.setuptools.package-data"


def test_the_program_says_its_version(program: Path, folder: Path, wheel: Path) -> None:
    assert run(program, folder, "--version").strip() == wheel.name.split("-")[1]


def test_the_installed_packages_are_the_wheels(program: Path, folder: Path) -> None:
    script = "import db, workers, supernet, glora_search as g; print(*(m.__file__ for m in (db, workers, supernet, g)))"
    found = subprocess.run(
        [program.with_name("python"), "-P", "-c", script], cwd=folder, capture_output=True, text=True, check=True
    ).stdout.split()
    assert all(Path(file).is_relative_to(program.parent.parent) for file in found), found


@pytest.mark.parametrize("backend", [pytest.param("local", marks=pytest.mark.experiment), "ray"])
def test_a_campaign_runs_to_a_verified_export(program: Path, folder: Path, backend: str) -> None:
    override = f"workers.backend={backend}"
    report = json.loads(run(program, folder, "launch", "tiny.yaml", "--set", override, "--format", "json"))
    assert 0 <= report["test_accuracy"] <= 1
    assert json.loads(run(program, folder, "verify", report["export"], "--format", "json"))["verified"]
    assert "is the newest" in run(program, folder, "db", "upgrade")
    assert "sound" in run(program, folder, "db", "check")
