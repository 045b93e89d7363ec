"""Things are timed in turn, a ratio is the rounds' median, and the page keeps what was not measured anew."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks.__main__ import EXPERIMENTS
from benchmarks.campaign import recipe_seconds
from benchmarks.figures import HEADLINES, Figure, Ratio, at_least, at_most, beside
from benchmarks.machine import machine, sentence
from benchmarks.page import BEGIN, END, row, write_page, write_results
from benchmarks.plots import COSTS, Panel, draw_costs, growth_figure
from benchmarks.racing import Beside
from benchmarks.timing import Times, in_turn

ONE, TWO, *_ = EXPERIMENTS.values()
DAY = {"date": "2026-01-01"}


def test_things_take_turns_and_the_warm_up_is_not_counted() -> None:
    called: list[str] = []
    times = in_turn({"a": lambda: called.append("a"), "b": lambda: called.append("b")}, rounds=3, warmup=2)
    assert called == ["a", "b"] * 5
    assert {name: len(seconds) for name, seconds in times.seconds.items()} == {"a": 3, "b": 3}


def test_a_ratio_is_the_median_of_the_rounds_with_their_quartiles() -> None:
    times = Times({"a": (2.0, 8.0, 9.0), "b": (1.0, 4.0, 3.0)})
    assert times.ratio("a", "b") == Ratio(2.0, 2.0, 2.5), "of the medians it would be 2.67"
    assert times.fastest() == "b"
    assert Times({"a": (3.0,), "b": (2.0,)}).ratio("a", "b") == Ratio(1.5, 1.5, 1.5)


def test_a_bar_is_met_at_the_bar_itself_and_not_beyond() -> None:
    assert at_most("key", "what", Ratio(1.1, 1.0, 1.2), 1.1).met
    assert not at_most("key", "what", 1.11, 1.1).met
    assert at_least("key", "what", 4.0, 4).met
    assert not at_least("key", "what", 3.9, 4).met


def test_the_reference_recipe_is_6000_steps_and_1050_candidates() -> None:
    assert recipe_seconds(800, step=1.0, candidate=0.0) == 6000
    assert recipe_seconds(800, step=0.0, candidate=1.0) == 1050


def test_something_is_timed_after_the_first_outcome_and_then_after_every_so_many() -> None:
    heard: list[int] = []
    now = 0
    beside_it = Beside({"plain": (10, lambda: heard.append(now))})
    for now in range(1, 32):
        beside_it.heard(now)
    assert heard == [1, 11, 21, 31]
    assert len(beside_it.seconds["plain"]) == 4


# ---- what is written


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "README.md"
    path.write_text(f"before\n{BEGIN}\n\nNot measured yet.\n\n{END}\nafter\n")
    return path


def test_sections_are_replaced_one_by_one_and_keep_their_day(page: Path) -> None:
    there = machine()
    write_page(page, EXPERIMENTS.values(), {TWO: [at_most("key", "slow", 2.0, 1)]}, there | DAY)
    write_page(page, EXPERIMENTS.values(), {ONE: [beside("key", "quick", Ratio(0.5, 0.4, 0.6))]}, there)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "Not measured yet" not in text
    assert sentence(there) in text
    assert [line for line in text.splitlines() if line.startswith("| ")] == [
        "| what | must be | found | middle half of the rounds |",
        f"| **{ONE}** | | | {there['date']} |",
        "| quick |  | 0.50 x | 0.40 to 0.60 |",
        f"| **{TWO}** | | | 2026-01-01 |",
        "| slow | at most 1 | 2.00 x **(not met)** |  |",
    ]


def test_headlines_stand_at_the_top_of_the_results_and_what_was_there_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    write_results(file, [Figure("candidate_over_plain", "", 1.05), Figure("lora_over_floor", "", 1.7)], DAY)
    write_results(file, [Figure("step_over_floor", "", 1.4), Figure("lora_over_floor", "", 1.8)], DAY)
    assert json.loads(file.read_text()) == {
        "candidate_over_plain": 1.05,
        "step_over_floor": 1.4,
        "others": {"lora_over_floor": 1.8},
        "machine": DAY,
    }


def test_the_machine_is_named_in_full() -> None:
    found = machine()
    assert {"cpu", "capability", "cores", "threads", "torch", "timm", "peft", "date"} <= found.keys()
    assert all(found.values())


def test_a_large_number_has_no_digits_behind_the_point() -> None:
    assert row(beside("key", "recipe", 5226.4, "s")) == "| recipe |  | 5,226 s |  |"


def test_costs_are_drawn_of_the_figures_that_are_there(tmp_path: Path) -> None:
    to = tmp_path / "images" / "costs.png"
    draw_costs({"campaign_speedup": 10.0}, to)
    assert not to.exists(), "none of them is a cost"
    draw_costs({key: 1.0 for key, _, _ in COSTS}, to)
    assert to.read_bytes().startswith(b"\x89PNG")
    assert {key for key, _, _ in COSTS[:5]} <= set(HEADLINES)


def test_the_labels_of_an_axis_do_not_overlap() -> None:
    """Sizes that double crowd near zero on a linear axis."""
    ratio = Ratio(1.0, 0.9, 1.1)
    sizes = {"pixels": (28.0, 56.0, 98.0, 140.0), "population": (25.0, 50.0, 100.0, 200.0, 400.0)}
    panels = [Panel(key, key, each, tuple(map(str, each)), (ratio,) * len(each)) for key, each in sizes.items()]
    figure = growth_figure(panels * 2)
    figure.draw_without_rendering()
    for axes, places in zip(figure.axes, [*sizes.values()] * 2, strict=True):
        labels = [label.get_window_extent() for label in axes.get_xticklabels() if label.get_text()]
        assert len(labels) == len(places)
        assert not any(one.overlaps(other) for one, other in pairwise(labels))
