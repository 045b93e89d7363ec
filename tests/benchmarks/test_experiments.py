"""Every experiment, small: it runs and returns the figures that it is there for. What a clock said is not looked at."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from pathlib import Path
from typing import Any

import pytest

from benchmarks import campaign, candidate, export, growth, racing, scaling, startup, step
from benchmarks.__main__ import EXPERIMENTS
from benchmarks.figures import HEADLINES, Figure
from benchmarks.setting import Setting, read, trained, untrained
from db.records import Status

pytestmark = [pytest.mark.timeout(180), pytest.mark.experiment]

SMALL_SEARCH = {"population": 6, "generations": 2, "parents": 3, "crossover": 3, "mutation": 3}
SMALL_GROWTH = growth.Sizes(
    images=(32, 64),
    models=("test_vit", "test_vit2"),
    model_image=32,
    model_examples=4,
    examples=(4, 8),
    populations=(4, 8),
    generations=1,
    rounds=1,
)
SMALL: dict[str, tuple[Callable[..., list[Figure]], dict[str, Any], set[str]]] = {  # name -> (., sizes, its figures)
    "candidate": (
        candidate.candidate,
        {"sizes": (32,), "rounds": 2, "processes": 0},
        {"candidate_over_plain", "candidate_speedup", "candidate_speedup_without_loader"},
    ),
    "step": (
        step.step,
        {"sizes": (32,), "rounds": 1},
        {"step_over_floor", "memory_over_lora", *(f"{name}_over_floor" for name in step.OTHERS)},
    ),
    "export": (export.export, {"rounds": 1}, {"export_over_plain"}),
    "campaign": (
        campaign.campaign,
        {"rounds": 1, "processes": 0},
        {"campaign_speedup", "campaign_seconds", "reference_seconds", "accuracy_searched_subnet"},
    ),
    "racing": (
        racing.racing,
        {"sizes": SMALL_SEARCH, "processes": 0},
        {"raced_over_plain", "raced_evolution_over_plain", "raced_speedup", "raced_share", "raced_differing"},
    ),
    "startup": (startup.startup, {"times": 1}, {"help_seconds", "first_candidate_seconds", "first_campaign_seconds"}),
    "growth": (
        growth.growth,
        {"sizes": SMALL_GROWTH},
        {"growth_image", "growth_model", "growth_examples", "growth_population"},
    ),
}


@pytest.mark.parametrize("name", SMALL)
def test_it_returns_its_figures(name: str, config: Path, tmp_path: Path) -> None:
    function, sizes, keys = SMALL[name]
    if name == "growth":
        sizes = {**sizes, "picture": tmp_path / "growth.png"}
    found = {figure.key: figure.value for figure in function(tmp_path, config, **sizes)}
    assert keys <= found.keys()
    assert all(isfinite(value) and value >= 0 for value in found.values())


def test_the_experiments_that_make_bench_runs_are_these() -> None:
    assert SMALL.keys() | {"scaling"} == EXPERIMENTS.keys()
    assert set(HEADLINES) <= set().union(*(keys for _, _, keys in SMALL.values()))


def test_a_campaign_leaves_its_supernet_to_the_others(config: Path, tmp_path: Path) -> None:
    launched = campaign.launched(config, tmp_path / "campaign")
    assert launched["test_accuracy"] > 0.5, "it is above chance, 1/3"
    campaign.keep_supernets(tmp_path / "campaign" / "runs", tmp_path)
    (kept,) = (tmp_path / "supernets").iterdir()
    before = kept.read_bytes()
    trained(read(config), tmp_path)
    assert kept.read_bytes() == before, "it was found, and not trained again"


def test_a_search_is_timed_without_being_changed(setting: Setting, tmp_path: Path) -> None:
    calls: list[int] = []
    numbers, small = untrained(setting.inputs), racing.with_search(setting, SMALL_SEARCH)
    things = {"plain": (5, lambda: calls.append(1))}
    timed = racing.searched(small, numbers, tmp_path / "timed.db", things)
    alone = racing.searched(small, numbers, tmp_path / "alone.db", {})
    assert [(each.genome, each.loss) for each in timed.candidates] == [
        (each.genome, each.loss) for each in alone.candidates
    ]
    assert len(timed.candidates) == 18
    assert len(calls) == len(timed.beside.seconds["plain"]) == 4, "after candidates 1, 6, 11 and 16"
    assert all(each.status in (Status.COMPLETED, Status.RACED) for each in timed.candidates)
    assert racing.differing(timed, alone) == 0


def test_another_search_differs(setting: Setting, tmp_path: Path) -> None:
    numbers = untrained(setting.inputs)
    one = racing.searched(racing.with_search(setting, SMALL_SEARCH), numbers, tmp_path / "one.db", {})
    other_search = {**SMALL_SEARCH, "mutation_rate": 0.9}
    other = racing.searched(racing.with_search(setting, other_search), numbers, tmp_path / "other.db", {})
    assert racing.differing(one, other) > 0


# ---- on Ray


@pytest.mark.usefixtures("ray_session")
def test_the_simulated_workers_finish_a_search() -> None:
    found = {figure.key for figure in scaling.crowd(candidates=64, population=16)}
    assert found == {"driver_milliseconds", "driver_busy_milliseconds"}


@pytest.mark.usefixtures("ray_session")
def test_one_worker_is_compared_with_two_and_with_threads(setting: Setting) -> None:
    found = {figure.key for figure in scaling.strong(setting, candidates=2, turns=1)}
    assert found == {"two_workers", "two_workers_over_threads"}
