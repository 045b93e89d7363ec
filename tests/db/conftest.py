"""A store in a fresh file, and a campaign of three genes in it."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from db.records import EvaluationKey, Gene, Outcome, Proposal, Status
from db.store import Store, open_store

FORMS = {"a": "none", "b": "scalar", "c": "vector", "d": "lora4"}
GENES: list[Gene] = [
    {"name": "blocks.0.attn.qkv[q].B", "alphabet": FORMS},
    {"name": "blocks.3.mlp.fc1.A", "alphabet": FORMS},
    {"name": "blocks.3.prompt", "alphabet": {"a": "none", "p": "prompt8"}},
]
NUMERICS = {"precision": "bf16", "chunk": 64}


@pytest.fixture(scope="session")
def key() -> EvaluationKey:
    return EvaluationKey("fingerprint", "split", "bf16")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(str(tmp_path / "glora.db")) as store:
        yield store


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One store for all examples of a module's properties."""
    with open_store(str(tmp_path_factory.mktemp("shared") / "glora.db")) as store:
        yield store


@pytest.fixture(scope="session")
def begin() -> Callable[[Store, str], None]:
    def begin(store: Store, name: str) -> None:
        """Create a campaign and begin its search over GENES."""
        store.create_campaign(name, {"name": name}, seed=0)
        store.begin_search(name, GENES, "fingerprint", "split", NUMERICS)

    return begin


@pytest.fixture
def searched(store: Store, begin: Callable[[Store, str], None]) -> Store:
    """The store with a campaign `digits` whose search has begun."""
    begin(store, "digits")
    return store


@pytest.fixture(scope="session")
def proposals() -> Callable[..., list[Proposal]]:
    def proposals(genomes: list[str], first: int = 0) -> list[Proposal]:
        return [Proposal(first + i, genome, "random", (), 100 * i) for i, genome in enumerate(genomes)]

    return proposals


@pytest.fixture(scope="session")
def completed() -> Callable[..., Outcome]:
    def completed(accuracy: float = 0.5, loss: float = 1.0) -> Outcome:
        return Outcome(Status.COMPLETED, accuracy, loss, seconds=0.1, worker="w0", correct=b"\x0f")

    return completed


@pytest.fixture(scope="session")
def genomes() -> list[str]:
    """All genomes of GENES in an order of their own."""
    every = [a + b + c for a in "abcd" for b in "abcd" for c in "ap"]
    random.Random(0).shuffle(every)
    return every
