"""After the search, if asked for: the chosen subnet alone is trained on, on training and validation images together.

It begins from the shared weights of the search, and moves only the entries that its genome uses. The supernet, its
recipe and the searched figures stay what they are; the test split is opened after it, once, for both.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from glora_search.control import Control
from glora_search.crash_points import reached
from glora_search.display import Display
from glora_search.inputs import Inputs
from glora_search.places import Places
from glora_search.shared_weights import recipe_of as supernet_recipe
from glora_search.shared_weights import trained_on
from glora_search.statistics import wilson
from supernet.checkpoint import load_trained, save_trained
from supernet.errors import Missing
from supernet.numerics import Numerics
from supernet.trained import NUMBERS, Trained
from workers.trainer import Pool


def refit(
    inputs: Inputs,
    trained: Trained,
    genome: str,
    numerics: Numerics,
    pool: Pool,
    places: Places,
    display: Display,
    control: Control,
) -> Trained:
    """The subnet's own weights among all of the supernet's; found again if an earlier run saved them.

    Raises Corrupt if the file found is not what was written; Paused or Cancelled if that was asked.
    """
    name = inputs.settings.name
    path, checkpoint = places.refit(name), places.refit_checkpoint(name)
    recipe = recipe_of(inputs, trained, genome)
    if (known := _saved(path, recipe)) is not None:
        display.note("The chosen subnet was refitted before: not again.")
        return known
    task = inputs.refit(trained, genome, numerics)
    refitted = trained_on(task, checkpoint, recipe, "refit", pool, display, control)
    reached("refitted")
    save_trained(refitted, path, {"recipe": recipe, "campaign": name, "genome": genome})
    reached("refit-saved")
    checkpoint.unlink(missing_ok=True)
    return refitted


def refitted(inputs: Inputs, trained: Trained, genome: str, places: Places) -> Trained:
    """What a campaign that ended has refitted. Raises Missing if its file is gone, Corrupt if it is damaged."""
    path = places.refit(inputs.settings.name)
    found = _saved(path, recipe_of(inputs, trained, genome))
    if found is None:
        raise Missing(
            f"The refitted subnet {path} is gone, or is another campaign's. Restore it, pass the right --runs, or "
            "launch the campaign under another name."
        )
    return found


def recipe_of(inputs: Inputs, trained: Trained, genome: str) -> str:
    """Hash of everything that decides what a refit computes."""
    settings, split = inputs.settings, inputs.train_and_val
    how = settings.refitting.model_dump_json()
    parts = [supernet_recipe(inputs), trained.fingerprint, genome, how, split.key(), settings.seed, NUMBERS]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def summary(epochs: int, seconds: float, report: Mapping[str, Any], test_accuracy: float) -> dict[str, Any]:
    """The refit's part of the `report`, which holds the searched subnet's accuracy on the same examples."""
    return {
        "epochs": epochs,
        "test_accuracy": test_accuracy,
        "test_interval": list(wilson(test_accuracy, report["test_examples"])),
        "seconds": seconds,
        "gain": test_accuracy - report["test_accuracy"],
    }


def said(refit: Mapping[str, Any]) -> str:
    """`refitted for 5 epochs on training and validation images`."""
    return f"refitted for {refit['epochs']} epochs on training and validation images"


def _saved(path: Path, recipe: str) -> Trained | None:
    """The refit of this recipe, None without one."""
    if not path.is_file():
        return None
    found, about = load_trained(path)
    return found if about.get("recipe") == recipe else None
