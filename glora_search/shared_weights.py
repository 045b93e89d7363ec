"""Train the supernet, or find one that was trained from the same recipe."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TypeVar

from db.records import Supernet
from db.store import Store
from glora_search.control import Control
from glora_search.crash_points import reached
from glora_search.display import Display
from glora_search.inputs import Inputs
from glora_search.places import Places
from supernet.calibration import CalibrationTask
from supernet.checkpoint import load_checkpoint, load_trained, save_checkpoint, save_trained
from supernet.errors import Corrupt
from supernet.evaluation import ScoringTask
from supernet.numerics import Numerics
from supernet.schedule import steps_an_epoch
from supernet.trained import Trained, recipe
from supernet.training import Checkpoint, Progress, TrainingTask
from workers.trainer import Pool, Task

Result = TypeVar("Result")
CHECKPOINT_EVERY = 30.0  # seconds


def train_or_find(
    inputs: Inputs,
    numerics: Numerics,
    pool: Pool,
    store: Store,
    places: Places,
    display: Display,
    control: Control,
) -> Trained:
    """What was trained, saved and recorded.

    Raises Corrupt if the file found is not what was written; Paused or Cancelled if that was asked.
    """
    name = recipe_of(inputs)
    path = places.supernet(name)
    if (found := _found(name, path, store)) is not None:
        display.note(f"Supernet {found.fingerprint[:12]} was trained from the same recipe: not trained again.")
        return found
    task, checkpoint = inputs.training(numerics), places.checkpoint(name)
    trained = trained_on(task, checkpoint, name, "train supernet", pool, display, control)
    reached("trained")
    if inputs.settings.training.calibration:
        trained = _calibrated(inputs, trained, numerics, pool, display)
    about = {"recipe": name, "campaign": inputs.settings.name, "space": inputs.settings.space.model_dump(mode="json")}
    if (found := _found(name, path, store)) is not None:
        display.note(f"Supernet {found.fingerprint[:12]} was trained from the same recipe meanwhile, and is taken.")
        return found
    save_trained(trained, path, about)
    reached("supernet-saved")
    _record(trained, name, path, store)
    checkpoint.unlink(missing_ok=True)
    display.note(f"Supernet {trained.fingerprint[:12]} frozen: {path}")
    return trained


def _found(name: str, path: Path, store: Store) -> Trained | None:
    """The supernet of this recipe, if there is one; recorded, since the database may be a new one."""
    if not path.is_file():
        return None
    (trained, about), known = load_trained(path), store.supernet(name)
    if about.get("recipe") != name or (known is not None and trained.fingerprint != known.fingerprint):
        return None
    _record(trained, name, path, store)
    return trained


def _calibrated(inputs: Inputs, trained: Trained, numerics: Numerics, pool: Pool, display: Display) -> Trained:
    """The supernet that is as sure of itself as the validation split says it may be."""
    settings, task = inputs.settings, inputs.training(numerics)  # which has the threads of all workers
    scoring = ScoringTask(inputs.backbone, settings.space, trained, inputs.data.val, task.numerics)
    found = watched(pool, CalibrationTask(scoring, settings.training, settings.seed), display, "calibrate")
    display.note(f"Temperature {found.temperature:.2f}: the supernet's logits are divided by it.")
    return found.trained


def _record(trained: Trained, name: str, path: Path, store: Store) -> None:
    entries = sum(array.size for key, array in trained.tensors.items() if not key.startswith("head."))
    store.record_supernet(Supernet(name, trained.fingerprint, str(path), entries, trained.seconds))
    reached("supernet-recorded")


def trained_on(
    task: TrainingTask, path: Path, recipe: str, title: str, pool: Pool, display: Display, control: Control
) -> Trained:
    """Train from the last checkpoint, or from the start; checkpoints stream in and are kept while it runs."""
    try:
        start = load_checkpoint(path, recipe)
    except Corrupt as error:
        display.note(f"{error} Training starts over.")
        start = None
    if start is not None:
        display.note(f"Training goes on after step {start.step}.")
    task = replace(task, start=start, checkpoint_every=CHECKPOINT_EVERY)
    an_epoch = steps_an_epoch(len(task.split), task.training.batch_size)
    keep = partial(save_checkpoint, path=path, recipe=recipe)
    return watched(pool, task, display, title, control, an_epoch, keep)


def recipe_of(inputs: Inputs) -> str:
    """The recipe's hash, looked up before training."""
    settings = inputs.settings
    validation = inputs.data.val if settings.training.calibration else None
    return recipe(inputs.backbone, settings.space, settings.training, inputs.data.train, settings.seed, validation)


def watched(
    pool: Pool,
    task: Task[Result | Checkpoint],
    display: Display,
    title: str,
    control: Control | None = None,
    steps_an_epoch: int = 0,
    keep: Callable[[Checkpoint], None] | None = None,
) -> Result:
    """Run a task on the pool behind a progress bar; what it yields to be kept goes to `keep`.

    Raises Paused or Cancelled between two steps if that was asked.
    """
    results: list[Result] = []
    stream = pool.train(task)
    first = next(stream)
    with display.bar(title, first.steps) if isinstance(first, Progress) else nullcontext(_unseen) as advance:
        for item in chain((first,), stream):
            if isinstance(item, Progress):
                epoch = f"epoch {1 + (item.step - 1) // steps_an_epoch}, " if steps_an_epoch else ""
                advance(item.step, f"{epoch}loss {item.loss:.3f}")
                if control is not None:
                    control.require_open()
            elif isinstance(item, Checkpoint):
                if keep is not None:
                    keep(item)
                    reached("checkpoint-kept")
            else:
                results.append(item)  # the stream is read to its end: one that is left early loses its worker
    assert results, "a task ends with its result"
    return results[0]


def _unseen(done: int, text: str) -> None:
    """Moves no bar: the task has no steps."""
