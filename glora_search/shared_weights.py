"""Train the supernet, or find one that was trained from the same recipe."""

from __future__ import annotations

from itertools import chain
from typing import TypeVar

from db.records import Supernet
from db.store import Store
from glora_search.display import Display
from glora_search.inputs import Inputs
from glora_search.places import Places
from supernet.checkpoint import load_trained, save_trained
from supernet.numerics import Numerics
from supernet.trained import Trained, recipe
from supernet.training import Progress, steps_an_epoch
from workers.trainer import Pool, Task

Result = TypeVar("Result")


def train_or_find(
    inputs: Inputs, numerics: Numerics, pool: Pool, store: Store, places: Places, display: Display
) -> Trained:
    """What was trained, saved and recorded. Raises Corrupt if the file found is not what was written."""
    name = recipe_of(inputs)
    path = places.supernet(name)
    known = store.supernet(name)
    if known is not None and path.is_file():
        trained, _ = load_trained(path)
        if trained.fingerprint == known.fingerprint:
            display.note(f"Supernet {trained.fingerprint[:12]} was trained from the same recipe: not trained again.")
            return trained
    task = inputs.training(numerics)
    trained = watched(pool, task, display, "train supernet", steps_an_epoch(len(task.split), task.training.batch_size))
    about = {"recipe": name, "campaign": inputs.settings.name, "space": inputs.settings.space.model_dump(mode="json")}
    save_trained(trained, path, about)
    entries = sum(array.size for key, array in trained.tensors.items() if not key.startswith("head."))
    store.record_supernet(Supernet(name, trained.fingerprint, str(path), entries, trained.seconds))
    display.note(f"Supernet {trained.fingerprint[:12]} frozen: {path}")
    return trained


def recipe_of(inputs: Inputs) -> str:
    """The recipe's hash, looked up before training."""
    settings = inputs.settings
    return recipe(inputs.backbone, settings.space, settings.training, inputs.data.train, settings.seed)


def watched(pool: Pool, task: Task[Result], display: Display, title: str, steps_an_epoch: int = 0) -> Result:
    """Run a task on the pool behind a progress bar."""
    results: list[Result] = []
    stream = pool.train(task)
    first = next(stream)
    if not isinstance(first, Progress):
        return first
    with display.bar(title, first.steps) as advance:
        for item in chain((first,), stream):
            if isinstance(item, Progress):
                epoch = f"epoch {1 + (item.step - 1) // steps_an_epoch}, " if steps_an_epoch else ""
                advance(item.step, f"{epoch}loss {item.loss:.3f}")
            else:
                results.append(item)
    assert results, "a task ends with its result"
    return results[0]
