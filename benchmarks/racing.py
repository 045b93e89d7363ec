"""What racing saves: whole searches of 1,050 candidates, a candidate's cost counted in plain forwards.

After every twentieth candidate of a running search a plain forward of the validation split is timed, and a few times
the reference way's candidate. A figure is the mean over all candidates of the search, raced or not, over the mean of
those.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks import plain
from benchmarks.candidate import Forms, reference_of
from benchmarks.figures import Figure, at_least, at_most, beside
from benchmarks.reference import PROCESSES
from benchmarks.setting import DIGITS, Setting, read, trained
from benchmarks.timing import timed
from db.records import Candidate, State, Status
from db.store import open_store
from glora_search.control import Control
from glora_search.display import Silent
from glora_search.searching import search
from glora_search.settings import parse
from supernet.trained import Trained
from workers.evaluator import Evaluator, Outcome, Scorable
from workers.pools import open_pool
from workers.trainer import Pool

PAPER: Mapping[str, Any] = {  # its evolution, raced
    "rank": "accuracy",
    "first": "uniform",
    "population": 50,
    "generations": 20,
    "parents": 10,
    "crossover": 25,
    "mutation": 25,
    "mutation_rate": 0.2,
    "racing": True,
}
OFF: Mapping[str, Any] = {"racing": False}
EVERY, EVERY_REFERENCE = 20, 150  # candidates
UNRACED = 2  # generations of the second pass


@dataclass
class Beside:
    """Things that are timed while a search runs: each after so many outcomes."""

    things: Mapping[str, tuple[int, Callable[[], object]]]  # name -> (outcomes between two times, thing)
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def heard(self, count: int) -> None:
        """So many outcomes have come."""
        for name, (every, thing) in self.things.items():
            if (count - 1) % every == 0:
                self.seconds.setdefault(name, []).append(timed(thing))

    def mean(self, name: str) -> float:
        return fmean(self.seconds[name])


@dataclass
class Interleaved:
    """A pool in this process, in whose searches other things are timed between two candidates."""

    pool: Pool
    beside: Beside
    count: int = 0

    @contextmanager
    def evaluator(self, task: Scorable, patience: float = 1.0) -> Iterator[Evaluator]:
        with self.pool.evaluator(task, patience) as inner:
            yield _Evaluator(self, inner)


@dataclass
class _Evaluator:
    owner: Interleaved
    inner: Evaluator

    def evaluate(self, *genomes_and_rules: Any) -> Iterator[tuple[int, Outcome]]:
        """As the evaluator within; what is timed is timed before its next candidate begins."""
        for found in self.inner.evaluate(*genomes_and_rules):
            self.owner.count += 1
            self.owner.beside.heard(self.owner.count)
            yield found


def _seconds(candidate: Candidate) -> float:
    """Of its merge and forward."""
    assert candidate.seconds is not None, f"candidate {candidate.id} was not evaluated"
    return candidate.seconds


@dataclass(frozen=True)
class Searched:
    """A search that was run, and what was timed meanwhile."""

    candidates: tuple[Candidate, ...]
    beside: Beside

    def over(self, name: str) -> float:
        """The mean cost of a candidate, raced or not, over the mean of the other thing."""
        return fmean(_seconds(each) for each in self.candidates) / self.beside.mean(name)

    @property
    def raced(self) -> float:
        """The share of candidates that were dropped before their last example."""
        return sum(each.status == Status.RACED for each in self.candidates) / len(self.candidates)


def racing(
    work: Path,
    config: Path = DIGITS,
    sizes: Mapping[str, Any] = PAPER,
    off: Mapping[str, Any] = OFF,
    processes: int = PROCESSES,
) -> list[Figure]:
    """Random search and the paper's evolution, both raced; then the evolution's first generations without racing."""
    setting = read(config)
    supernet = trained(setting, work)
    forward, _ = plain.fastest(setting)
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as name:
        folder = Path(name)
        things = {
            "plain": (EVERY, forward),
            "reference": (EVERY_REFERENCE, _reference(setting, folder / "images", processes)),
        }
        draws = searched(with_search(setting, {**sizes, "algorithm": "random"}), supernet, folder / "a.db", things)
        evolution = searched(with_search(setting, sizes), supernet, folder / "b.db", things)
        few = {**sizes, "generations": min(UNRACED, sizes["generations"]), **off}
        unraced = searched(with_search(setting, few, "unraced"), supernet, folder / "b.db", {})
    return [
        at_most(
            "raced_over_plain",
            "a candidate of random search, raced or not, over the plain forward",
            draws.over("plain"),
            0.5,
        ),
        beside("raced_share", "candidates of it that were raced", draws.raced, "of all"),
        at_most("raced_evolution_over_plain", "the same in the paper's evolution", evolution.over("plain"), 0.65),
        beside("raced_evolution_share", "candidates of it that were raced", evolution.raced, "of all"),
        at_least(
            "raced_speedup",
            "the reference way's candidate, over one of that evolution",
            1 / evolution.over("reference"),
            8,
        ),
        at_most(
            "raced_differing",
            f"of the evolution's first {len(unraced.candidates)} candidates, those that the same search proposed "
            "otherwise without racing",
            differing(evolution, unraced),
            0,
            "candidates",
        ),
    ]


def searched(
    setting: Setting, supernet: Trained, db: Path, things: Mapping[str, tuple[int, Callable[[], object]]]
) -> Searched:
    """Run the setting's search from its first candidate, in this process, timing the things meanwhile."""
    settings, beside_it = setting.inputs.settings, Beside(things)
    with open_store(str(db)) as store, open_pool(settings.workers) as pool:
        store.create_campaign(settings.name, settings.model_dump(mode="json"), settings.seed)
        store.set_state(settings.name, State.SEARCHING)
        control = Control(store, settings.name)
        search(setting.inputs, supernet, setting.numerics, Interleaved(pool, beside_it), store, Silent(), control)  # type: ignore[arg-type]
        return Searched(tuple(store.candidates(settings.name)), beside_it)


def differing(one: Searched, other: Searched) -> int:
    """Candidates of the shorter search that the longer one did not propose under the same number."""
    genomes = {each.id: each.genome for each in one.candidates}
    return sum(genomes.get(each.id) != each.genome for each in other.candidates)


def with_search(setting: Setting, changed: Mapping[str, Any], name: str = "benchmark") -> Setting:
    """The setting with another search."""
    inputs = setting.inputs
    values = inputs.settings.model_dump(mode="json")
    values |= {"name": name, "search": values["search"] | changed}
    return replace(setting, inputs=replace(inputs, settings=parse(values, "the benchmark's search")))


def _reference(setting: Setting, folder: Path, processes: int) -> Callable[[], object]:
    """The reference way's candidate, another one each time; the first, which warms up, is done."""
    theirs, draw = reference_of(setting, folder, processes), Forms(setting)
    theirs.score(draw())
    return lambda: theirs.score(draw())
