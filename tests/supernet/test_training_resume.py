"""A training that was interrupted and resumed ends bit for bit where the uninterrupted one ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from supernet.backbone import Backbone
from supernet.checkpoint import load_checkpoint, save_checkpoint
from supernet.data import Split
from supernet.errors import Corrupt
from supernet.numerics import Numerics
from supernet.settings import SpaceSettings, TrainingSettings
from supernet.trained import Trained
from supernet.training import Checkpoint, TrainingTask


@pytest.fixture
def training_task(backbone: Backbone, split_of: Callable[..., Split], numerics: Numerics) -> TrainingTask:
    settings = TrainingSettings(epochs=2, batch_size=4, warmup_epochs=0.5)
    return TrainingTask(backbone, SpaceSettings(), settings, split_of(12), 0, numerics)


def _ends(task: TrainingTask) -> tuple[list[Checkpoint], Trained]:
    items = list(task.run())
    assert isinstance(items[-1], Trained)
    return [item for item in items if isinstance(item, Checkpoint)], items[-1]


def test_a_training_resumed_from_any_checkpoint_ends_bit_identical(training_task: TrainingTask, tmp_path: Path) -> None:
    checkpoints, whole = _ends(replace(training_task, checkpoint_every=0.0))
    assert len(checkpoints) >= 2, "a checkpoint after each step but the last"
    for checkpoint in checkpoints:
        path = tmp_path / "training.safetensors"
        save_checkpoint(checkpoint, path, "recipe")
        _, resumed = _ends(replace(training_task, start=load_checkpoint(path, "recipe")))
        assert resumed.fingerprint == whole.fingerprint, f"resumed after step {checkpoint.step}"


def test_a_training_that_forgets_its_moments_ends_elsewhere(training_task: TrainingTask) -> None:
    """The negative control: if this passed with equality, the law above would say nothing."""
    checkpoints, whole = _ends(replace(training_task, checkpoint_every=0.0))
    first = checkpoints[0]
    forgetful = replace(first, state=dict(first.state) | {"m": np.zeros_like(first.state["m"])})
    _, resumed = _ends(replace(training_task, start=forgetful))
    assert resumed.fingerprint != whole.fingerprint


def test_a_checkpoint_of_another_recipe_is_not_used(training_task: TrainingTask, tmp_path: Path) -> None:
    checkpoints, _ = _ends(replace(training_task, checkpoint_every=0.0))
    path = tmp_path / "training.safetensors"
    save_checkpoint(checkpoints[0], path, "one recipe")
    assert load_checkpoint(path, "another recipe") is None
    assert load_checkpoint(tmp_path / "none.safetensors", "one recipe") is None


@pytest.mark.parametrize("how", ["truncated", "altered"])
def test_a_checkpoint_that_is_not_what_was_written_is_refused(
    training_task: TrainingTask, tmp_path: Path, how: str
) -> None:
    checkpoints, _ = _ends(replace(training_task, checkpoint_every=0.0))
    path = tmp_path / "training.safetensors"
    save_checkpoint(checkpoints[0], path, "recipe")
    if how == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    else:
        state = dict(checkpoints[0].state)
        header = {"recipe": "recipe", "step": "1", "seconds": "1.0", "digest": "0" * 64}
        save_file(state, path, metadata=header)
    with pytest.raises(Corrupt, match="Delete it"):
        load_checkpoint(path, "recipe")
