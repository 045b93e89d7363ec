"""The end of a campaign as it is printed: every accuracy of a split with its interval, and what is tied is said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from glora_search.commands.summary import show_summary
from glora_search.statistics import wilson

Printed = Callable[..., str]


@pytest.fixture
def printed(finished: Any, capsys: pytest.CaptureFixture[str]) -> Printed:
    def printed(without: tuple[str, ...] = (), **changed: Any) -> str:
        """The summary of the finished campaign's report, changed."""
        report = {key: value for key, value in finished.launch().items() if key not in without} | changed
        show_summary("tiny", report, "table", "")
        return capsys.readouterr().out

    return printed


def interval(accuracy: float, n: int) -> str:
    low, high = wilson(accuracy, n)
    return f"{low:.1%} to {high:.1%}"


def test_every_accuracy_of_one_model_has_its_interval(finished: Any, printed: Printed) -> None:
    report = finished.launch()
    lines = {line.split("│")[1].strip(): line for line in printed().splitlines() if line.startswith("│")}
    rows = {"searched subnet": report, "linear probe": report["baselines"]["linear_probe"]}
    for title, row in rows.items():
        assert interval(row["val_accuracy"], 24) in lines[title]
        assert interval(row["test_accuracy"], 60) in lines[title]
    assert " to " not in lines["random subnet (mean of 5)"]


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "none of the 3 other finalists is"),
        (1, "1 of the 3 other finalists is"),
        (2, "2 of the 3 other finalists are"),
    ],
)
def test_it_says_how_many_finalists_are_tied_and_which_is_the_smallest(printed: Printed, count: int, said: str) -> None:
    smallest = {"id": 7, "params": 1234, "val_accuracy": 0.9} if count else None
    found = printed(finalists=[{}] * 4, tied={"count": count, "smallest": smallest, "test": "mcnemar, p > 0.05"})
    assert f"{said} statistically tied with it (McNemar, p > 0.05)" in found
    assert ("candidate 7 with 1,234 parameters" in found) == bool(count)


def test_a_folder_with_a_blank_is_one_word_of_the_next_command(printed: Printed) -> None:
    assert "  glora-search verify 'my runs/export'\n" in printed(export="my runs/export")


def test_of_a_single_finalist_there_is_nothing_to_say(printed: Printed) -> None:
    found = printed(finalists=[{}], tied={"count": 0, "smallest": None, "test": "mcnemar, p > 0.05"})
    assert "tied" not in found


@pytest.mark.parametrize(
    ("errors", "said"), [(1.25, "1.2 standard errors lower"), (-0.5, "0.5 standard errors higher"), (None, "lower")]
)
def test_it_says_who_ranks_first_where_another_is_chosen(
    finished: Any, printed: Printed, errors: float | None, said: str
) -> None:
    other = finished.launch()["chosen"] + 1
    found = printed(best={"id": other, "standard_errors": errors}, method=None)
    assert f"candidate {other} ranks first, its validation loss {said}; search.choice takes this one\n" in found
    assert "ranks first" not in printed(best={"id": other - 1, "standard_errors": 0.0})


def test_it_says_that_the_method_itself_was_chosen(finished: Any, printed: Printed) -> None:
    report = finished.launch()
    best = {"id": report["chosen"] + 1, "standard_errors": 1.0}
    assert "search.choice takes this one, ssf itself" in printed(
        best=best, method={"name": "ssf", "genome": report["genome"]}
    )


def test_a_report_of_an_earlier_version_is_shown_without_what_it_lacks(finished: Any, printed: Printed) -> None:
    found = printed(without=("val_examples", "val_interval", "finalists", "tied", "best"))
    assert "searched subnet" in found
    assert "tied" not in found
    assert interval(finished.launch()["test_accuracy"], 60) in found


def test_it_says_what_merged_and_what_loads_the_rest(finished: Any, printed: Printed) -> None:
    assert finished.launch()["outcomes"].keys() == {"merged"}
    for plain in (printed(), printed(without=("outcomes",)), printed(outcomes={})):
        assert "parameters, merged without retraining" in plain
    partly = printed(outcomes={"merged": {"lora": 2}, "kept": {"adapter": 1}})
    assert "exported as a program for torch.export.load (2 lora merged, 1 adapter kept) without retraining" in partly
    assert "parameters, merged" not in partly
