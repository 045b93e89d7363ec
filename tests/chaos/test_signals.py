"""Signals pause a campaign, which ends as one that heard none; what is lost or left over is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.figures import unmet
from chaos.signals import orphans, signals


def test_a_second_signal_ends_what_does_not_end_by_itself(tmp_path: Path) -> None:
    assert unmet(signals(tmp_path, "local", generations=1, cases=("twice",)), timed=False) == []


@pytest.mark.experiment
def test_a_pause_that_is_not_written_is_found(tmp_path: Path) -> None:
    assert unmet(signals(tmp_path, "local", generations=1, cases=("once",), broken="a pause is not written")) != []


def test_no_ray_process_outlives_a_killed_driver(tmp_path: Path) -> None:
    assert unmet(orphans(tmp_path)) == []


@pytest.mark.experiment
def test_a_ray_process_that_outlives_its_driver_is_found(tmp_path: Path) -> None:
    assert unmet(orphans(tmp_path, broken="agents outlive a killed driver", within=6.0)) != []
