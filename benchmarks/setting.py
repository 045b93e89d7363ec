"""What all experiments measure on: the demo's backbone, data and space, with every core of this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from glora_search.chosen_numerics import choose_numerics
from glora_search.inputs import Inputs, prepare
from glora_search.places import Places
from glora_search.settings import read_config
from glora_search.shared_weights import recipe_of
from supernet.checkpoint import load_trained, save_trained
from supernet.evaluation import Scorer, ScoringTask
from supernet.numerics import Numerics, prepare_process
from supernet.randomness import stream
from supernet.trained import Trained
from supernet.training import adapt
from workers.pools import open_pool

DIGITS = Path(__file__).parent.parent / "examples" / "digits.yaml"
FIRST = 1_000_000  # numbers of draws that nothing times
IN_PROCESS = ("workers.backend=local", "workers.count=1")


@dataclass(frozen=True)
class Setting:
    """A config that was read, and the numerics that this process has."""

    inputs: Inputs
    numerics: Numerics

    def scoring(self, trained: Trained) -> ScoringTask:
        """The task of the search's workers."""
        inputs = self.inputs
        return ScoringTask(inputs.backbone, inputs.settings.space, trained, inputs.data.val, self.numerics)

    def draw(self, number: int) -> str:
        """The genome of the given number, uniform in the space."""
        return self.inputs.space.draw(stream(self.inputs.settings.seed, "baseline", number))


def read(config: Path = DIGITS, *overrides: str) -> Setting:
    """The setting of a config, its one worker being this process. Sets this process's threads."""
    inputs = prepare(read_config(config, (*IN_PROCESS, *overrides)))
    with open_pool(inputs.settings.workers) as pool:
        numerics, _ = choose_numerics(inputs, pool)
    prepare_process(numerics.threads_per_worker)
    return Setting(inputs, numerics)


def at(config: Path, size: int, *overrides: str) -> Setting:
    """The setting of a config with images of so many pixels."""
    return read(config, f"backbone.image_size={size}", *overrides)


def untrained(inputs: Inputs) -> Trained:
    """A supernet of the size of a trained one, of small random numbers: what it costs does not depend on them."""
    generator = np.random.default_rng(0)
    names = adapt(inputs.backbone, inputs.settings.space, seed=0).trained()
    tensors = {name: generator.normal(0, 0.02, tensor.shape).astype(np.float32) for name, tensor in names.items()}
    return Trained(tensors, seconds=0.0)


def trained(setting: Setting, work: Path) -> Trained:
    """The supernet of the setting: the one that lies in the work folder, or trained now and kept there."""
    recipe = recipe_of(setting.inputs)
    path = Places(work).supernet(recipe)
    if not path.is_file():
        *_, last = setting.inputs.training(setting.numerics).run()
        assert isinstance(last, Trained), "a training ends with what was trained"
        save_trained(last, path, {"recipe": recipe, "campaign": "benchmarks", "space": {}})
    return load_trained(path)[0]


class Drawn:
    """Scores one random genome after the other, none twice, as a search does after its first generation.

    By then what merging keeps for later candidates is there.
    """

    def __init__(self, setting: Setting, scorer: Scorer) -> None:
        self.setting, self.scorer, self.number = setting, scorer, 0
        for number in range(setting.inputs.settings.search.population):
            scorer.merger.merge(setting.draw(FIRST + number))

    def __call__(self) -> None:
        self.number += 1
        self.scorer.score(self.setting.draw(self.number))
