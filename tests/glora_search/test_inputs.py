"""What a campaign works on is checked as a whole."""

from __future__ import annotations

from typing import Any

import pytest

from glora_search.inputs import untrained
from supernet.draws import genomes
from supernet.methods import centre
from supernet.schedule import total_steps
from supernet.settings import TrainingSettings
from supernet.space import Form, Gene, Space

NONE = Form("none", ".", 0)
SPACE = Space(tuple(Gene(f"{site}.E", (Form("vector", "v", 5), Form("scalar", "s", 1), NONE)) for site in "abcdefgh"))


@pytest.mark.parametrize("last", [0.0, 0.2, 0.25, 0.45])
@pytest.mark.parametrize("first", [0.0, 0.5, 0.54])
@pytest.mark.parametrize("epochs", [1, 2, 3, 9, 20])
def test_a_training_that_has_no_step_for_other_subnets_than_its_method_is_told(
    epochs: int, first: float, last: float
) -> None:
    given = {"epochs": epochs, "batch_size": 8, "method_first": first, "method_last": last, "around": "largest"}
    training = TrainingSettings.model_validate(given)
    steps = total_steps(training, 8)
    assert steps == epochs
    method = centre(SPACE, "largest")
    others = [t for t in range(steps) if genomes(SPACE, training, 0, t, steps) != [method]]
    assert bool(untrained(training, 8)) == (not others)


def test_uniform_draws_are_never_told_so() -> None:
    assert untrained(TrainingSettings(epochs=1, draws="uniform"), 8) == ""


def test_a_campaign_says_so_before_its_first_step(workshop: Any, watching: Any) -> None:
    watched = watching()
    workshop.launch(watched, training={"epochs": 1, "method_first": 0.75, "method_last": 0.2})
    assert any("none trains other subnets than the method" in note for note in watched.notes)
