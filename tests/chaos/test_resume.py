"""A driver that is killed and resumed ends where one ends that never died; what is broken on purpose is found."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from chaos.figures import unmet
from chaos.resume import killed, training
from glora_search.crash_points import POINTS, VARIABLE, reached

POINTS_OF_A_TEST = ("supernet-saved", "proposed", "recorded", "refit-saved", "exported")


def test_a_killed_search_ends_as_the_uninterrupted_one(tmp_path: Path) -> None:
    figures = killed(tmp_path, generations=1, kills=2, workers=0, points=POINTS_OF_A_TEST)
    assert unmet(figures) == []


@pytest.mark.experiment
def test_a_killed_search_on_postgresql_does_too(
    tmp_path: Path, postgres: Callable[..., AbstractContextManager[str]]
) -> None:
    with postgres() as url:
        assert unmet(killed(tmp_path, url, generations=0, kills=1, workers=0, points=("recorded", "exported"))) == []


@pytest.mark.experiment
@pytest.mark.parametrize("broken", ["late writes", "forgotten seed"])
def test_a_search_that_is_broken_on_purpose_is_found(tmp_path: Path, broken: str) -> None:
    figures = killed(tmp_path, generations=0, kills=1, workers=0, points=("recorded",), broken=broken)
    assert unmet(figures) != []


def test_a_killed_training_ends_with_the_same_supernet(tmp_path: Path) -> None:
    assert unmet(training(tmp_path, epochs=10, kills=2)) == []


@pytest.mark.experiment
def test_a_training_that_forgets_its_moments_is_found(tmp_path: Path) -> None:
    figures = training(tmp_path, epochs=10, kills=1, broken="forgotten moments")
    assert [figure.what for figure in unmet(figures)] == ["supernet's shared weights equal bit for bit"]


def test_without_being_told_to_nobody_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    for point in POINTS:
        reached(point)
    monkeypatch.setenv(VARIABLE, "recorded:1000000")
    reached("recorded")
