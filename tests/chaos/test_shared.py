"""Two campaigns share what they can share and end as each does alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.figures import unmet
from chaos.shared import two_campaigns


@pytest.mark.experiment
@pytest.mark.timeout(600)
def test_two_campaigns_on_one_database_and_one_cluster_do_not_meet(tmp_path: Path) -> None:
    assert unmet(two_campaigns(tmp_path, population=12, generations=1)) == []
