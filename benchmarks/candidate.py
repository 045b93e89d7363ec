"""What a candidate costs: merged and scored by us, over the backbone's own forward, and over the reference way."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import plain, reference
from benchmarks.figures import Figure, at_least, at_most, beside
from benchmarks.setting import DIGITS, Drawn, Setting, at, untrained
from benchmarks.timing import Times, in_turn
from supernet.training import adapt


def candidate(
    work: Path,
    config: Path = DIGITS,
    sizes: Sequence[int] = (56, 98),
    rounds: int = 16,
    processes: int = reference.PROCESSES,
) -> list[Figure]:
    """The first of the sizes (pixels) is the one that counts."""
    figures: list[Figure] = []
    for number, size in enumerate(sizes):
        setting = at(config, size, "search.racing=false")
        figures += _over_plain(setting, rounds, size, first=number == 0)
        figures += _over_reference(setting, max(1, rounds // 2), size, processes, first=number == 0)
    return figures


def _over_plain(setting: Setting, rounds: int, size: int, first: bool) -> list[Figure]:
    ours = Drawn(setting, setting.scoring(untrained(setting.inputs)).scorer())
    forward, form = plain.fastest(setting)
    times = in_turn({"ours": ours, "plain": forward}, rounds)
    key = "candidate_over_plain" if first else f"candidate_over_plain_{size}"
    what = f"merge and score a candidate, without racing, over the plain forward ({form}), {size} px"
    return [at_most(key, what, times.ratio("ours", "plain"), 1.10)]


def _over_reference(setting: Setting, rounds: int, size: int, processes: int, first: bool) -> list[Figure]:
    times = against_reference(setting, rounds, processes)
    key = "candidate_speedup" if first else f"candidate_speedup_{size}"
    whole, bare = times.ratio("reference", "ours"), times.ratio("without loader", "ours")
    return [
        at_least(key, f"the reference way's candidate, with its loader, over ours, {size} px", whole, 4),
        beside(f"{key}_without_loader", f"the same, its images in memory already, {size} px", bare),
    ]


def against_reference(setting: Setting, rounds: int, processes: int = reference.PROCESSES) -> Times:
    """`ours`, the `reference` way, and the same `without loader`, on random genomes."""
    ours = Drawn(setting, setting.scoring(untrained(setting.inputs)).scorer())
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        theirs = reference_of(setting, Path(folder), processes)
        draw = Forms(setting)
        things = {
            "ours": ours,
            "reference": lambda: theirs.score(draw()),
            "without loader": lambda: theirs.score_in_memory(draw()),
        }
        return in_turn(things, rounds, warmup=1)


def reference_of(setting: Setting, folder: Path, processes: int = reference.PROCESSES) -> reference.Evaluation:
    """The reference way on the validation split, whose images are written to the folder."""
    inputs = setting.inputs
    model = reference.adapted(inputs.backbone, max(inputs.settings.space.ranks)).to(setting.numerics.device)
    return reference.Evaluation(model, inputs.data.val, inputs.backbone, folder, processes)


class Forms:
    """The forms of one random genome after the other, by site."""

    def __init__(self, setting: Setting) -> None:
        self.setting, self.number = setting, 0
        self.supernet = adapt(setting.inputs.backbone, setting.inputs.settings.space, seed=0)

    def __call__(self) -> dict[str, dict[str, str]]:
        self.number += 1
        return self.supernet.forms(self.setting.draw(self.number))
