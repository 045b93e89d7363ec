"""Spaces as values, a world that answers from a genome's hash, and campaigns on a Vision Transformer of two blocks."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from chaos import tiny
from db.records import Proposal
from db.store import Store, open_store
from glora_search.display import Advance
from glora_search.evolution import Evaluate, Generation, evolve
from glora_search.places import Places
from glora_search.selection import Scored
from glora_search.settings import CampaignSettings, SearchSettings, parse
from supernet.space import Form, Gene, Space
from workers.evaluator import Evaluation, Failure

VIT_B = {"attn.qkv": (2304, 768), "attn.proj": (768, 768), "mlp.fc1": (3072, 768), "mlp.fc2": (768, 3072)}


def glora_genes(site: str, out: int, width: int) -> Iterator[Gene]:
    """The five genes of GLoRA at a Linear, with their real costs at rank 4."""
    for gene in "AB":
        forms = (Form("lora4", "4", 4 * (out + width)), Form("vector", "v", out), Form("scalar", "s", 1))
        yield Gene(f"{site}.{gene}", (*forms, Form("none", "n", 0)))
    yield Gene(f"{site}.C", (Form("lora4", "4", 4 * (width + 1)), Form("vector", "v", width), Form("none", "n", 0)))
    for gene in "DE":
        yield Gene(f"{site}.{gene}", (Form("vector", "v", out), Form("scalar", "s", 1), Form("none", "n", 0)))


def figures(genome: str, failing: int = 0) -> tuple[float, float] | None:
    """(accuracy, loss) from the genome alone, with many ties; None for one genome in `failing`."""
    digest = hashlib.sha256(genome.encode()).digest()
    if failing and digest[0] % failing == 0:
        return None
    return digest[1] % 8 / 8, digest[2] % 4 / 4


@pytest.fixture(scope="session")
def vit_b() -> Space:
    """GLoRA's space of ViT-B/16: 240 genes, 10^126.5 genomes."""
    return Space(
        tuple(
            gene
            for block in range(12)
            for site, (out, width) in VIT_B.items()
            for gene in glora_genes(f"blocks.{block}.{site}", out, width)
        )
    )


@pytest.fixture(scope="session")
def small() -> Space:
    """Three genes, 24 genomes of 1 to 17 parameters."""
    two = (Form("vector", "v", 4), Form("scalar", "s", 1))
    three = (Form("lora4", "4", 9), Form("vector", "v", 4), Form("none", "n", 0))
    four = (*three, Form("scalar", "s", 1))
    return Space((Gene("a.E", two), Gene("a.A", three), Gene("b.A", four)))


@pytest.fixture(scope="session")
def answer() -> Callable[..., Evaluate]:
    def answer(failing: int = 0, asked: list[Proposal] | None = None) -> Evaluate:
        """An `evaluate` for `evolve` that answers from the genome's hash."""

        def evaluate(
            generation: int, proposals: Sequence[Proposal], survivors: Sequence[Scored]
        ) -> list[Scored | None]:
            if asked is not None:
                asked.extend(proposals)
            found = [(proposal, figures(proposal.genome, failing)) for proposal in proposals]
            return [None if result is None else Scored(proposal, *result) for proposal, result in found]

        return evaluate

    return answer


@pytest.fixture(scope="session")
def searched(answer: Callable[..., Evaluate]) -> Callable[..., list[Generation]]:
    def searched(space: Space, seed: int = 0, failing: int = 0, **settings: Any) -> list[Generation]:
        """All generations of a search under the hash's answers."""
        return list(evolve(space, SearchSettings(**settings), seed, answer(failing)))

    return searched


class Hashing:
    """A fake on the evaluator port: answers from the genome's hash, in any order, and counts what it was asked."""

    def __init__(self, failing: int = 0, backwards: bool = False, dies_after: int | None = None) -> None:
        self.failing, self.backwards, self.dies_after = failing, backwards, dies_after
        self.asked: list[str] = []

    def evaluate(self, genomes: Iterable[str], hopeless: object = None) -> Iterator[tuple[int, Evaluation | Failure]]:
        genomes = list(genomes)
        places = range(len(genomes))
        for index in reversed(places) if self.backwards else places:
            if len(self.asked) == self.dies_after:
                raise RuntimeError("the cluster is gone")
            self.asked.append(genomes[index])
            found = figures(genomes[index], self.failing)
            if found is None:
                yield index, Failure("OutOfMemoryError", "a long story\nout of memory", 0.1, "fake")
            else:
                yield index, Evaluation(*found, 0, b"\x00", 0.1, "fake")


@pytest.fixture(scope="session")
def hashing() -> type[Hashing]:
    return Hashing


# ---- campaigns


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """timm's `test_vit` at 32 pixels, as a file."""
    path = tmp_path_factory.mktemp("weights") / "test_vit.safetensors"
    tiny.write_weights(path)
    return path


@pytest.fixture(scope="session")
def write_task() -> Callable[[Path], Path]:
    """Writes a VTAB-1K task of three classes."""
    return tiny.write_greys


@pytest.fixture(scope="session")
def greys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_greys(tmp_path_factory.mktemp("data") / "greys")


@pytest.fixture(scope="session")
def config(weights: Path, greys: Path) -> Callable[..., dict[str, Any]]:
    """A campaign of seconds, as plain data; sections are merged into it."""
    return partial(tiny.config, weights, greys)


@dataclass
class Watching:
    """A display that keeps what was said, and may press Ctrl-C when a bar has come so far."""

    interrupt: tuple[str, int] | None = None  # (title, done)
    notes: list[str] = field(default_factory=list)
    bars: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        self.notes.append(text)

    @contextmanager
    def bar(self, title: str, total: int) -> Iterator[Advance]:
        self.bars.append(title)

        def advance(done: int, text: str) -> None:
            if (title, done) == self.interrupt:
                raise KeyboardInterrupt

        yield advance


@dataclass
class Workshop:
    """A database and a runs folder of one test, and the campaigns carried in them."""

    folder: Path
    config: Callable[..., dict[str, Any]]

    @property
    def db(self) -> str:
        return str(self.folder / "glora.db")

    @property
    def places(self) -> Places:
        return Places(self.folder / "runs")

    def settings(self, **sections: Any) -> CampaignSettings:
        return parse(self.config(**sections), "the test's config")

    def launch(self, watching: Watching | None = None, **sections: Any) -> dict[str, Any]:
        from glora_search.campaign import run

        return run(self.settings(**sections), self.db, self.places, watching or Watching())

    @contextmanager
    def store(self) -> Iterator[Store]:
        with open_store(self.db, create=False) as store:
            yield store

    def found(self, name: str = "tiny") -> list[tuple[Any, ...]]:
        """What must not depend on workers, order or interruptions."""
        with self.store() as store:
            fields = ["id", "genome", "generation", "operator", "parents", "params", "status", "accuracy", "loss"]
            return [tuple(getattr(each, field) for field in fields) for each in store.candidates(name)]


@pytest.fixture(scope="session")
def watching() -> type[Watching]:
    return Watching


@pytest.fixture
def workshop(tmp_path: Path, config: Callable[..., dict[str, Any]]) -> Workshop:
    return Workshop(tmp_path, config)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, config: Callable[..., dict[str, Any]]) -> Workshop:
    """A workshop whose campaign `tiny` is finished; tests may look, and launch others beside it."""
    workshop = Workshop(tmp_path_factory.mktemp("finished"), config)
    workshop.launch()
    return workshop


@pytest.fixture
def in_finished(finished: Workshop, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    """The same, as the working directory."""
    monkeypatch.chdir(finished.folder)
    return finished


@dataclass(frozen=True)
class Said:
    """How a command ended."""

    code: int
    out: str
    err: str
    raw: bytes


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    from typer.testing import CliRunner

    from glora_search.cli import app

    def command(*arguments: object, **environment: str) -> Said:
        """A command of the program in this process. An error that it does not turn into a sentence is raised."""
        for module in ("launching", "comparing"):
            monkeypatch.setattr(f"glora_search.commands.{module}.terminate_as_interrupt", lambda: None)
        result = CliRunner().invoke(app, [str(each) for each in arguments], env=environment)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Said(result.exit_code, result.stdout, result.stderr, result.stdout_bytes)

    return command


os.environ.setdefault("HF_HUB_OFFLINE", "1")
