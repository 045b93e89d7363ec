"""A campaign that meets with trouble pauses, and ends as the one that met none; what hides the trouble is found."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

import pytest

from chaos.figures import unmet
from chaos.tiny import tiny
from chaos.trouble import PAUSED, TROUBLES, Place, meet, trouble


@pytest.mark.experiment
def test_disks_databases_and_clocks_may_fail(tmp_path: Path) -> None:
    assert unmet(trouble(tmp_path), timed=False) == []


@pytest.mark.parametrize("what", ["disk of the database full", "no space for the export"])
def test_a_campaign_that_fails_where_it_should_pause_is_found(tmp_path: Path, what: str) -> None:
    place = Place(tmp_path / "broken", tiny(tmp_path))
    with patch("glora_search.campaign.trouble", return_value=None):
        assert meet(place, place, TROUBLES[what]) != PAUSED
