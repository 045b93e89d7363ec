"""`compare`, as it is typed: what goes to stdout, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

SEARCH = {"population": 3, "generations": 1, "parents": 2, "crossover": 1, "mutation": 1, "finalists": 1}
FEW = ("--seeds", 1, "--methods", "lora,linear_probe")

Command = Callable[..., Any]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, config: Callable[..., dict[str, Any]]) -> Path:
    """A folder with a config in it; the module's comparisons are finished there once."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "c.yaml").write_text(yaml.safe_dump(config(search=SEARCH)))
    return folder


@pytest.fixture
def at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(home)
    return home


def test_json_is_a_list_of_rows(command: Command, at_home: Path) -> None:
    said = command("compare", "c.yaml", *FEW, "--format", "json")
    assert said.code == 0
    rows = json.loads(said.out)
    assert [row["method"] for row in rows] == ["linear_probe", "lora", "ours"]
    again = command("compare", "c.yaml", *FEW, "--format", "json")
    assert (again.out, again.err) == (said.out, ""), "a finished comparison is only printed"


def test_the_table_says_under_what_protocol_and_what_is_not_beaten(command: Command, at_home: Path) -> None:
    rows = json.loads(command("compare", "c.yaml", *FEW, "--format", "json").out)
    said = command("compare", "c.yaml", *FEW).out
    for row in rows:
        assert f" {row['test_accuracy']:.2%} │" in said
        assert row["test_std"] is None, "one seed spreads over nothing"
        better = row["difference"] is None or (row["difference"] > 0 and row["interval"][0] > -0.005)
        assert (f"not beaten: {row['method']}, difference" in said) == (not better)
    assert "seeds 101; one split (48 train, 24 val, 60 test)" in said
    assert "2 epochs; searches of 5 candidates" in said
    assert "test was opened once for each row and seed" in said


@pytest.mark.parametrize("chosen", ["csv", "jsonl"])
def test_every_format_has_the_rows(command: Command, at_home: Path, chosen: str) -> None:
    said = command("compare", "c.yaml", *FEW, "--format", chosen).out
    assert [name in said for name in ("linear_probe", "lora", "ours")] == [True] * 3
    assert len(said.splitlines()) == (4 if chosen == "csv" else 3)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--methods", ""), "--methods names none"),
        (("--methods", ","), "--methods names none"),
        (("--methods", "lora,ssff"), "no method is named 'ssff'. Did you mean 'ssf'?"),
        (("--seeds", 0), "--seeds"),
        (("--first-seed", -1), "--first-seed"),
        (("--set", "search.budget=3"), "search.budget is 3"),
        (("--set", "training.epochs=3"), "training.epochs: 2 -> 3"),
        (("--set", "training.epoch=3"), "Did you mean 'epochs'?"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    command: Command, at_home: Path, arguments: tuple[Any, ...], sentence: str
) -> None:
    command("compare", "c.yaml", *FEW)
    before = sorted(at_home.rglob("*"))
    said = command("compare", "c.yaml", *FEW, *arguments)
    assert (said.code, said.out) == (2, "")
    assert sentence in " ".join(said.err.split())
    assert sorted(at_home.rglob("*")) == before


def test_ctrl_c_ends_it_with_the_command_that_goes_on(home: Path) -> None:
    program = [sys.executable, "-c", "from glora_search.cli import main; main()", "compare", "c.yaml"]
    options = [
        "--seeds",
        "1",
        "--first-seed",
        "7",
        "--methods",
        "ssf",
        "--set",
        "training.epochs=300",
        "--set",
        "name=x",
    ]
    run = subprocess.Popen(
        [*program, *options], cwd=home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    )
    assert run.stderr is not None
    for line in run.stderr:
        if line.startswith("train supernet: "):
            run.send_signal(signal.SIGINT)
            break
    out, err = run.communicate(timeout=120)
    assert (run.returncode, out) == (5, "")
    *_, last = err.splitlines()
    assert last.split() == ["glora-search", "compare", "c.yaml", *options]
