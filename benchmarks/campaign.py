"""The demo's whole campaign, from the command to the verified export, over the reference's own recipe.

    500 epochs x (examples // 64) steps x its step  +  1,050 candidates x its candidate                 (1)

Steps and candidates of the reference way are timed before the campaign and after it; (1) is made of their medians.
Its step is counted without the loader that each epoch starts, which favours it. Test accuracies are the report's.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import peers, reference
from benchmarks.candidate import Forms, reference_of
from benchmarks.commands import output, places
from benchmarks.figures import Figure, at_least, beside
from benchmarks.setting import DIGITS, Setting, read
from benchmarks.step import batch
from benchmarks.timing import Times, in_turn


def campaign(work: Path, config: Path = DIGITS, rounds: int = 4, processes: int = reference.PROCESSES) -> list[Figure]:
    """The supernet that it trains stays in the work folder, for the experiments that come after this one."""
    setting = read(config)
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as name:
        folder = Path(name)
        before = _reference(setting, folder / "images", rounds, processes)
        begin = time.perf_counter()
        report = launched(config, folder)
        seconds = time.perf_counter() - begin
        after = _reference(setting, folder / "images", rounds, processes)
        keep_supernets(folder / "runs", work)
    both = Times({name: before.seconds[name] + after.seconds[name] for name in before.seconds})
    recipe = recipe_seconds(len(setting.inputs.data.train), both.median("step"), both.median("candidate"))
    what = "the reference's recipe (500 epochs, 1,050 candidates; extrapolated), over the demo's whole campaign"
    return [
        at_least("campaign_speedup", what, recipe / seconds, 10),
        beside("campaign_seconds", "the campaign, from the command to its verified export", seconds, "s"),
        beside("reference_seconds", "the reference's recipe, extrapolated", recipe, "s"),
        *accuracies(report),
    ]


def launched(config: Path, folder: Path) -> dict[str, Any]:
    """The report of the config's campaign, run by the command line from its beginning to its verified export."""
    folder.mkdir(parents=True, exist_ok=True)
    to = ("--set", f"export.to={folder / 'export'}")
    report: dict[str, Any] = json.loads(output("launch", str(config), *places(folder), *to, "--format", "json"))
    output("verify", report["export"])
    return report


def recipe_seconds(examples: int, step: float, candidate: float) -> float:
    """Equation (1); step and candidate in seconds."""
    steps = reference.EPOCHS * (examples // reference.BATCH_SIZE)
    return steps * step + reference.CANDIDATES * candidate


def keep_supernets(runs: Path, work: Path) -> None:
    """Copy what a campaign trained to where `setting.trained` looks for it."""
    (work / "supernets").mkdir(parents=True, exist_ok=True)
    for path in (runs / "supernets").glob("*.safetensors"):
        shutil.copy(path, work / "supernets")


def accuracies(report: dict[str, Any]) -> list[Figure]:
    """Test accuracies of the searched subnet and of the baselines, each in [0, 1]."""
    rows = {"searched subnet": report["test_accuracy"]}
    rows |= {name.replace("_", " "): row["test_accuracy"] for name, row in report["baselines"].items()}
    return [
        beside(f"accuracy_{name.replace(' ', '_')}", f"test accuracy of that campaign: {name}", value, "")
        for name, value in rows.items()
    ]


def _reference(setting: Setting, folder: Path, rounds: int, processes: int) -> Times:
    """The reference way's `step` and `candidate`, in turn."""
    theirs, draw = reference_of(setting, folder, processes), Forms(setting)
    step = peers.step("reference", setting, *batch(setting, setting.inputs.data.train))
    return in_turn({"step": step, "candidate": lambda: theirs.score(draw())}, rounds, warmup=1)
