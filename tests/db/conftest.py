"""A store in a fresh SQLite file and again in a fresh PostgreSQL database, with a campaign of three genes in it.

What takes `store`, `shared` or `database` runs on both; what is SQLite's alone says so:
`@pytest.mark.parametrize("database", ["sqlite"], indirect=True)`. Without PostgreSQL's programs its half is skipped,
unless GLORA_SEARCH_REQUIRE_POSTGRES=1: then it fails.
"""

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from chaos.crowd import many
from chaos.postgres import Lend
from db.records import EvaluationKey, Gene, Outcome, Proposal, Status
from db.store import Store, open_store

BACKENDS = ("sqlite", "postgresql")

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


@pytest.fixture(scope="session")
def empty_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite database that has the tables and no rows; copied, since Alembic takes 50 ms to make one."""
    path = tmp_path_factory.mktemp("empty") / "glora.db"
    open_store(str(path)).close()
    return path


@pytest.fixture(params=BACKENDS)
def database(request: pytest.FixtureRequest, tmp_path: Path, empty_file: Path) -> Iterator[str]:
    """The address of a database that has no campaigns."""
    if request.param == "sqlite":
        yield str(shutil.copy(empty_file, tmp_path / "glora.db"))
        return
    with request.getfixturevalue("postgres")() as address:
        yield address


@pytest.fixture
def bare_postgres(postgres: Lend) -> Iterator[str]:
    """The address of a PostgreSQL database without our tables."""
    with postgres(tables=False) as address:
        yield address


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    with open_store(database) as store:
        yield store


@pytest.fixture(scope="module", params=BACKENDS)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One store for all examples of a module's properties."""
    file = nullcontext(str(tmp_path_factory.mktemp("shared") / "glora.db"))
    place = file if request.param == "sqlite" else request.getfixturevalue("postgres")()
    with place as address, open_store(address) as store:
        yield store


@pytest.fixture(scope="session")
def crowd() -> Callable[..., list[dict[str, Any]]]:
    """Run a part of chaos/crowd.py in many processes at once; what they said, in order of saying."""
    return many


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
