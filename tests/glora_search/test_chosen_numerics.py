"""A campaign computes as the one before it on the same supernet did, so that what is known can answer it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from glora_search import campaign
from supernet.speed import SpeedTask


@pytest.fixture
def probed(monkeypatch: pytest.MonkeyPatch) -> list[SpeedTask]:
    """What was timed, from now on."""
    probed, run = list[SpeedTask](), SpeedTask.run

    def listening(self: SpeedTask) -> Any:
        probed.append(self)
        return run(self)

    monkeypatch.setattr(SpeedTask, "run", listening)
    return probed


def test_a_second_campaign_on_the_same_supernet_times_nothing_and_says_why(
    workshop: Any, watching: Callable[..., Any], probed: list[SpeedTask]
) -> None:
    workshop.launch()
    watched = watching()
    workshop.launch(watched, name="second", search={"algorithm": "random"})
    assert len(probed) == 1
    assert any("as in campaign tiny on the same supernet" in note for note in watched.notes)
    with workshop.store() as store:
        assert store.campaign("second").numerics == store.campaign("tiny").numerics


def test_a_campaign_from_before_there_was_a_choice_of_kernels_is_followed(
    workshop: Any, probed: list[SpeedTask], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it found would be of no use to another that computes in a new way."""
    choose = campaign.choose_numerics

    def as_before(*asked: Any) -> Any:
        numerics, why = choose(*asked)
        return replace(numerics, kernels="timm"), why

    monkeypatch.setattr(campaign, "choose_numerics", as_before)
    workshop.launch()
    monkeypatch.undo()
    workshop.launch(name="second", search={"algorithm": "random"})
    with workshop.store() as store:
        assert "kernels" not in store.campaign("tiny").numerics
        assert store.campaign("second").numerics == store.campaign("tiny").numerics


@pytest.mark.parametrize(("gpus", "said"), [(0, False), (2, True)])
def test_a_gpu_that_no_worker_reserves_is_mentioned(
    workshop: Any, watching: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, gpus: int, said: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    watched = watching()
    workshop.launch(watched)
    idle = f"GPUs here that are not used, since workers.gpus_per_worker is 0: {gpus}"
    assert any(idle in note for note in watched.notes) == said


@pytest.mark.parametrize(
    "other",
    [{"seed": 5}, {"training": {"epochs": 1}}, {"workers": {"threads": 2}}, {"search": {"racing": False}}],
    ids=["another seed", "another training", "more threads", "without racing"],
)
def test_another_supernet_or_other_workers_are_timed_anew(
    workshop: Any, probed: list[SpeedTask], other: dict[str, Any]
) -> None:
    workshop.launch()
    workshop.launch(name="second", **other)
    assert len(probed) == 2
