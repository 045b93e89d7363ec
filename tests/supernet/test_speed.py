"""What the speed probe chooses from the times that it finds. The times themselves are the machine's."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest

from supernet.backbone import Backbone
from supernet.numerics import Numerics, prepare_process, probe
from supernet.speed import Speed, SpeedTask


@pytest.fixture
def task(backbone: Backbone) -> SpeedTask:
    return SpeedTask(backbone, probe(threads=1)[0], examples=200, racing=True)


@pytest.fixture
def unraced(task: SpeedTask) -> SpeedTask:
    return replace(task, racing=False)


def chosen(task: SpeedTask, other: float = 1.0, near: float = 1.0, far: float = 1.0) -> tuple[str, int]:
    """(attention, chunk) if the ways beside the default take these multiples of its time."""
    rounds = [dict(zip(task.ways(), (t, t * other, t * near, t * far), strict=True)) for t in (2.0, 3.0)]
    found = task.choice(rounds).numerics
    assert found == replace(task.numerics, attention=found.attention, chunk=found.chunk), "the rest is as offered"
    return found.attention, found.chunk


def test_chunks_are_small_where_candidates_are_raced_and_else_large(task: SpeedTask, unraced: SpeedTask) -> None:
    assert chosen(task) == ("fused", 25)
    assert chosen(unraced) == ("fused", 100)


def test_a_default_stays_where_another_way_saves_less_than_noise_may(task: SpeedTask, unraced: SpeedTask) -> None:
    assert chosen(task, other=0.98, near=0.9, far=0.8) == ("fused", 25)
    assert chosen(unraced, other=0.98, near=0.98, far=0.98) == ("fused", 100)
    for each in (task, unraced):
        assert chosen(each, other=1.5, near=1.5, far=1.5) == chosen(each)


def test_a_way_that_saves_enough_is_taken(task: SpeedTask, unraced: SpeedTask) -> None:
    assert chosen(task, other=0.9) == ("plain", 25)
    assert chosen(task, near=0.85) == ("fused", 50)
    assert chosen(task, near=0.85, far=0.75) == ("fused", 50), "what racing loses with larger chunks counts"
    assert chosen(task, near=0.85, far=0.7) == ("fused", 100)
    assert chosen(unraced, near=0.9) == ("fused", 50)
    assert chosen(unraced, other=0.9, near=0.9, far=0.8) == ("plain", 25)


def test_one_round_in_which_it_saves_nothing_is_enough_against_a_way(task: SpeedTask) -> None:
    quiet, noisy = (2.0, 1.5, 2.0, 1.5), (2.0, 2.0, 3.0, 2.0)
    rounds = [dict(zip(task.ways(), times, strict=True)) for times in (quiet, quiet, noisy, quiet)]
    assert task.choice(rounds).numerics == task.ways()[0]
    rounds = [dict(zip(task.ways(), times, strict=True)) for times in (quiet, quiet, (2.0, 1.98, 3.0, 2.0), quiet)]
    assert task.choice(rounds).numerics.attention == "plain", "but that it saves little in one of them is not"


def test_the_sentence_says_what_was_chosen_and_what_else_was_tried(task: SpeedTask) -> None:
    rounds = [dict(zip(task.ways(), times, strict=True)) for times in ((2.0, 2.02, 2.2, 1.8), (3.0, 3.0, 3.0, 2.4))]
    assert task.choice(rounds).why == (
        "fused attention, 25 examples a forward (in times of fused attention, 25 examples a forward, the median and "
        "worst round: plain attention 1.00 and 1.01, 50 examples 1.05 and 1.10, 100 examples 0.85 and 0.90)"
    )


def test_a_forward_too_short_to_time_keeps_the_default(task: SpeedTask) -> None:
    """A tiny model's choice would be noise, and the next campaign's numerics others."""
    *progress, found = replace(task, examples=1).run()
    assert progress == []
    assert found == Speed(task.ways()[0], task.choice([]).why)
    assert "by default" in found.why


def test_a_forward_long_enough_is_timed_in_every_way(task: SpeedTask) -> None:
    prepare_process(1)
    rounds = pickle.loads(pickle.dumps(replace(task, examples=10**6))).rounds()
    assert rounds
    for times in rounds:
        assert list(times) == task.ways()
        assert min(times.values()) > 0


def test_a_worker_that_offers_plain_attention_or_bfloat16_is_timed_as_it_computes(task: SpeedTask) -> None:
    offered = replace(task.numerics, attention="plain", precision="bfloat16")
    times = replace(task, numerics=offered, examples=10**6).rounds()[0]
    assert {way.precision for way in times} == {"bfloat16"}
    assert [way.attention for way in times] == ["plain", "fused", "plain", "plain"]


def test_ways_differ_from_the_default_in_one_thing_each(task: SpeedTask) -> None:
    default, *others = task.ways()
    assert default == replace(task.numerics, chunk=25)

    def differences(way: Numerics) -> list[str]:
        return [name for name, value in way.as_dict().items() if value != default.as_dict()[name]]

    assert [differences(way) for way in others] == [["attention"], ["chunk"], ["chunk"]]
