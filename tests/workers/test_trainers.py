"""The trainer port: what holds in process holds on Ray, to the last bit."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from supernet.backbone import Backbone
from supernet.data import Split
from supernet.errors import BadInput
from supernet.evaluation import Measurement, ScoringTask
from supernet.numerics import Numerics
from supernet.probe import ProbeTask
from supernet.settings import SpaceSettings, TrainingSettings
from supernet.trained import Trained
from supernet.training import Checkpoint, Progress, TrainingTask
from workers.evaluator import Evaluation
from workers.trainer import Pool

SETTINGS = TrainingSettings(epochs=2, batch_size=8, drop_path=0.3)


@pytest.fixture(scope="module")
def task(backbone: Backbone, split_of: Callable[..., Split], numerics: Numerics) -> TrainingTask:
    return TrainingTask(backbone, SpaceSettings(), SETTINGS, split_of(26), seed=1, numerics=numerics)


def test_training_streams_its_progress_and_then_the_same_bits_as_without_a_pool(pool: Pool, task: TrainingTask) -> None:
    *progress, trained = pool.train(task)
    *expected, same = task.run()
    assert all(isinstance(item, Progress) for item in progress)
    assert [(item.step, item.steps, item.loss) for item in progress] == [(i.step, i.steps, i.loss) for i in expected]
    assert isinstance(trained, Trained)
    assert isinstance(same, Trained)
    assert trained.fingerprint == same.fingerprint
    assert all(array.tobytes() == same.tensors[name].tobytes() for name, array in trained.tensors.items())


def test_checkpoints_stream_and_training_goes_on_from_one(pool: Pool, task: TrainingTask) -> None:
    items = list(pool.train(replace(task, checkpoint_every=0.0)))
    checkpoint = next(item for item in items if isinstance(item, Checkpoint) and item.step == 4)
    assert list(pool.train(replace(task, start=checkpoint)))[-1].fingerprint == items[-1].fingerprint


def test_a_probe_is_a_task_like_any_other(pool: Pool, task: TrainingTask) -> None:
    probe = ProbeTask(task.backbone, SETTINGS, task.split, task.split, 1, task.numerics)
    found, expected = list(pool.train(probe)), list(probe.run())
    assert len(found) == len(expected)
    assert found[-1].fingerprint == expected[-1].fingerprint


def test_bad_input_found_by_a_worker_arrives_as_it_was_said_and_the_pool_goes_on(
    pool: Pool, task: TrainingTask
) -> None:
    too_fast = replace(task, training=SETTINGS.model_copy(update={"learning_rate": 1e30, "warmup_epochs": 0.0}))
    with pytest.raises(BadInput, match=r"^The training loss became nan at step \d of 6\. Lower") as caught:
        list(pool.train(too_fast))
    assert type(caught.value) is BadInput
    assert isinstance(list(pool.train(task))[-1], Trained)


def broken_task(numerics: Numerics) -> Any:
    @dataclass(frozen=True)
    class Broken:
        """Known to no module that a worker could import: it travels whole."""

        numerics: Numerics

        def run(self) -> Iterator[Any]:
            yield Progress(1, 2, 0.5, 0.0)
            raise KeyError("our own mistake")

    return Broken(numerics)


def test_any_other_error_is_not_swallowed(pool: Pool, numerics: Numerics) -> None:
    stream = pool.train(broken_task(numerics))
    assert next(stream) == Progress(1, 2, 0.5, 0.0)
    with pytest.raises(KeyError, match="our own mistake"):
        next(stream)


def greedy_task(numerics: Numerics) -> Any:
    @dataclass(frozen=True)
    class Greedy:
        numerics: Numerics

        def run(self) -> Iterator[Any]:
            import torch

            yield Progress(1, 2, 0.5, 0.0)
            torch.empty(2**50)  # bytes

    return Greedy(numerics)


def test_a_training_that_runs_out_of_memory_says_what_to_lower(pool: Pool, numerics: Numerics) -> None:
    stream = pool.train(greedy_task(numerics))
    assert next(stream) == Progress(1, 2, 0.5, 0.0)
    with pytest.raises(BadInput, match=r"^Training ran out of memory \(.*\)\. Lower training\.batch_size\.$") as caught:
        next(stream)
    assert caught.value.__suppress_context__


def endless_task(numerics: Numerics) -> Any:
    @dataclass(frozen=True)
    class Endless:
        numerics: Numerics

        def run(self) -> Iterator[Any]:
            import time

            step = 0
            while True:
                time.sleep(0.05)
                step += 1
                yield Progress(step, 10**9, 0.0, 0.0)

    return Endless(numerics)


ONE_WORKER = pytest.mark.parametrize("pool", ["local", "ray, one worker"], indirect=True)  # actors start slowly


@ONE_WORKER
@pytest.mark.timeout(90)
def test_leaving_a_training_ends_it(pool: Pool, task: TrainingTask) -> None:
    for _ in pool.train(endless_task(task.numerics)):
        break
    assert isinstance(list(pool.train(task))[-1], Trained), "it does not wait behind what nobody wants any more"


@ONE_WORKER
def test_training_and_scoring_take_turns_in_one_pool(
    pool: Pool, task: TrainingTask, scoring: ScoringTask, genomes: list[str], expected: list[Measurement]
) -> None:
    """Each may need the GPUs that the other holds."""
    assert isinstance(list(pool.train(task))[-1], Trained)
    with pool.evaluator(scoring) as evaluator:
        ((_, outcome),) = evaluator.evaluate(genomes[:1])
    assert isinstance(outcome, Evaluation)
    assert outcome.loss == expected[0].loss


@ONE_WORKER
def test_a_training_on_another_kind_of_device_is_refused(pool: Pool, task: TrainingTask) -> None:
    elsewhere = replace(task, numerics=replace(task.numerics, device_kind="cuda NVIDIA of another machine"))
    with pytest.raises(BadInput, match="another machine"):
        next(iter(pool.train(elsewhere)))
