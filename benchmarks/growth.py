"""How the cost of a candidate grows: with image size, model size, number of validation images, and population.

Each point is a ratio to the first of its panel, all points of a panel timed in turn. With the population grows what the
search itself does for a candidate (proposing, selecting, recording), whose scoring takes no time here.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import timm
import torch

from benchmarks.figures import Figure, beside
from benchmarks.plots import Panel, draw_growth
from benchmarks.setting import DIGITS, Drawn, Setting, at, read, untrained
from benchmarks.timing import Times, in_turn
from chaos.overhead import StubPool
from chaos.tiny import tiny
from db.records import State
from db.store import open_store
from glora_search.control import Control
from glora_search.display import Silent
from glora_search.inputs import Inputs, prepare
from glora_search.searching import search
from glora_search.settings import candidates, read_config
from supernet.backbone import Backbone
from supernet.data import Split
from supernet.trained import Trained
from supernet.training import adapt
from workers.pools import open_pool

PICTURE = Path(__file__).parent.parent / "docs" / "images" / "growth.png"


@dataclass(frozen=True)
class Sizes:
    images: Sequence[int] = (28, 56, 98, 140)  # pixels
    models: Sequence[str] = ("vit_tiny_patch16_224", "vit_small_patch16_224", "vit_base_patch16_224")
    model_image: int = 112  # pixels
    model_examples: int = 32
    examples: Sequence[int] = (50, 100, 200, 400)
    populations: Sequence[int] = (25, 50, 100, 200, 400)
    generations: int = 3
    rounds: int = 3


def growth(work: Path, config: Path = DIGITS, sizes: Sizes | None = None, picture: Path = PICTURE) -> list[Figure]:
    """Four panels, drawn into the picture; of each the last point is a figure."""
    sizes = sizes or Sizes()
    panels = [by_image(config, sizes), by_model(config, sizes), by_examples(config, sizes), by_population(sizes)]
    draw_growth(panels, picture)
    return [
        beside(
            f"growth_{panel.key}", f"a candidate at {panel.names[-1]} over one at {panel.names[0]}", panel.ratios[-1]
        )
        for panel in panels
    ]


# ---- the panels


def by_image(config: Path, sizes: Sizes) -> Panel:
    settings = {f"{size} px": at(config, size) for size in sizes.images}
    return _panel("image", "image size (pixels)", sizes.images, _timed(settings, sizes.rounds))


def by_model(config: Path, sizes: Sizes) -> Panel:
    """Models of random weights on random images."""
    setting, split = read(config), noise(sizes.model_examples, sizes.model_image)
    settings = {
        name: with_(setting, split, random_backbone(name, sizes.model_image, setting.inputs)) for name in sizes.models
    }
    millions = [_parameters(each.inputs.backbone) / 1e6 for each in settings.values()]
    return _panel("model", "backbone (million parameters)", millions, _timed(settings, sizes.rounds))


def by_examples(config: Path, sizes: Sizes) -> Panel:
    setting = read(config)
    settings = {
        f"{count} images": with_(setting, noise(count, setting.inputs.backbone.image_size)) for count in sizes.examples
    }
    return _panel("examples", "validation images", sizes.examples, _timed(settings, sizes.rounds))


def by_population(sizes: Sizes) -> Panel:
    """Of searches whose scoring takes no time, in process."""
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        searches = {f"population {size}": Search(Path(folder), size, sizes.generations) for size in sizes.populations}
        times = in_turn(searches, sizes.rounds, warmup=1)
    each = {name: tuple(s / searches[name].candidates for s in times.seconds[name]) for name in searches}
    return _panel("population", "population", sizes.populations, Times(each))


def _timed(settings: Mapping[str, Setting], rounds: int) -> Times:
    """A candidate of each setting."""
    scorers = {name: each.scoring(untrained(each.inputs)).scorer() for name, each in settings.items()}
    return in_turn({name: Drawn(settings[name], scorer) for name, scorer in scorers.items()}, rounds, warmup=1)


def _panel(key: str, label: str, places: Sequence[float], times: Times) -> Panel:
    first, *_ = names = tuple(times.seconds)
    return Panel(key, label, tuple(places), names, tuple(times.ratio(name, first) for name in names))


# ---- what they measure on


def with_(setting: Setting, split: Split, backbone: Backbone | None = None) -> Setting:
    """The setting with another validation split, and perhaps another backbone."""
    inputs = setting.inputs
    inputs = replace(inputs, data=replace(inputs.data, val=split), backbone=backbone or inputs.backbone)
    space = adapt(inputs.backbone, inputs.settings.space, seed=0).space
    return replace(setting, inputs=replace(inputs, space=space))


def noise(count: int, size: int) -> Split:
    """Random pixels of one class."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    return Split(pixels, np.zeros(count, np.int64), tuple(f"noise[{number}]" for number in range(count)))


def random_backbone(name: str, size: int, like: Inputs) -> Backbone:
    """timm's model with the weights that it starts with."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = timm.create_model(name, pretrained=False, num_classes=0, img_size=size)
    state = {key: tensor.numpy() for key, tensor in model.state_dict().items()}
    return replace(like.backbone, model=name, image_size=size, state=state)


def _parameters(backbone: Backbone) -> int:
    return sum(array.size for array in backbone.state.values())


class Search:
    """A search of its own for each call."""

    def __init__(self, folder: Path, population: int, generations: int) -> None:
        half = population // 2
        sizes = {"population": population, "generations": generations, "crossover": half, "mutation": population - half}
        self.settings = read_config(tiny(folder / str(population), search=sizes))
        self.inputs, self.folder, self.number = prepare(self.settings), folder, 0
        self.candidates = candidates(self.settings.search)

    def __call__(self) -> None:
        self.number += 1
        name = self.settings.name
        path = self.folder / f"{self.candidates}-{self.number}.db"
        with open_store(str(path)) as store, open_pool(self.settings.workers) as pool:
            store.create_campaign(name, self.settings.model_dump(mode="json"), self.settings.seed)
            store.set_state(name, State.SEARCHING)
            numerics, control = pool.probe()[0], Control(store, name)
            stub = StubPool(pool)
            search(self.inputs, Trained({}, 0.0), numerics, stub, store, Silent(), control)  # type: ignore[arg-type]
