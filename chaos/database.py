"""The store under fire: crowded, killed, grown large, out of disk.

Each experiment looks at one database: a SQLite file in its folder, or with `url` a PostgreSQL database that has our
tables and no campaigns. `postgresql` runs those that both can undergo on a server of its own.
"""

from __future__ import annotations

import random
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import insert, text

from chaos import postgres
from chaos.crowd import MINUTE, NOON, many
from chaos.figures import Figure, below, exactly
from db import schema
from db.engine import connect, writing
from db.errors import StoreError
from db.models import CandidateRow, EvaluationRow, now
from db.proposals import genome_digest
from db.records import EvaluationKey, Gene, Proposal, Status
from db.store import Store, open_store
from glora_search.settings import read_config

KEY = EvaluationKey("fingerprint", "split", "numerics")
LETTERS = "abcd"
FORMS = dict(zip(LETTERS, ("none", "scalar", "vector", "lora4"), strict=True))
GENES = [Gene(name=f"blocks.{i // 20}.site{i % 20}.A", alphabet=FORMS) for i in range(240)]  # as a ViT-B has
ROOT = Path(__file__).parent.parent
COLD = 2  # transactions, one of each kind, in which a process that starts makes its statements


def transactions(
    folder: Path, processes: int = 32, each: int = 100, readers: int = 1, how: str = "immediate", url: str | None = None
) -> list[Figure]:
    """Writers in a tight loop of proposing and recording, and readers at 10 Hz; none fails, none waits for long.

    Expects errors of `how="deferred"`, which begins as SQLite does when it is not told otherwise.
    """
    address = url or str(folder / "glora.db")
    with open_store(address) as store:
        for number in range(processes):
            _begin(store, f"c{number}")
    said = many("score", address, processes, readers, each // 2, "own", how)
    took = [milliseconds for one in said for milliseconds in one.get("took", ())]
    warm = [milliseconds for one in said for milliseconds in one.get("took", ())[COLD:]]
    reads = [one["read"] for one in said if "read" in one]
    with open_store(address) as store:
        stored = sum(store.progress(f"c{number}").completed for number in range(processes))
    return [
        exactly(f"errors of {processes} writers and {readers} readers", sum("error" in one for one in said), 0),
        exactly("transactions acknowledged", len(took), 2 * (each // 2) * processes),
        exactly("results in the store", stored, each // 2 * processes),
        exactly("readers that saw the store meanwhile", sum(count > 0 for count in reads), readers),
        below(f"a transaction, median ({sum(reads)} looks of readers meanwhile)", _quantile(warm, 50), 100, "ms"),
        below(f"a transaction, 99 of 100 (but for each process's first {COLD})", _quantile(warm, 99), 100, "ms"),
    ]


def claims(
    folder: Path, processes: int = 8, claims: int = 100, how: str = "acquire", url: str | None = None
) -> list[Figure]:
    """Processes that all want to run every campaign. Expects double claims of `how="naively"`."""
    address, names = url or str(folder / "glora.db"), [f"c{number}" for number in range(claims)]
    with open_store(address) as store:
        for name in names:
            store.create_campaign(name, {}, seed=0)
            store.release(store.acquire(name, "an earlier process", NOON, MINUTE))
    said = many(how, address, processes, *names)
    claimed = Counter(one["name"] for one in said if "name" in one)
    return [
        exactly(f"errors of {processes} processes", sum("error" in one for one in said), 0),
        exactly(f"campaigns claimed, of {claims}", len(claimed), claims),
        exactly("campaigns claimed twice", sum(count > 1 for count in claimed.values()), 0),
    ]


def writer_kills(folder: Path, kills: int = 50, how: str = "after", url: str | None = None) -> list[Figure]:
    """SIGKILLs of a writer that acknowledges each commit. Expects a loss of `how="before"`, which does so too soon."""
    address = url or str(folder / "glora.db")
    with open_store(address) as store:
        _begin(store, "digits")
        (said,) = many("killed", address, kills, how)
        kept = {candidate.id for candidate in store.candidates("digits", where="status = 'completed'")}
    lost = set(range(said["acknowledged"])) - kept
    return [
        exactly(f"commits lost, of {said['acknowledged']:,} acknowledged, by {kills} kills", len(lost), 0),
        exactly("faults of the database afterwards", faults(address), 0),
    ]


def large(folder: Path, candidates: int = 100_000, repeats: int = 5, url: str | None = None) -> list[Figure]:
    """What looking takes once there are many candidates: in an open store, and as whole commands."""
    address = url or str(folder / "glora.db")
    with open_store(address) as store:
        _begin(store, "large")
        fill(address, candidates)
        found = exactly("candidates found", store.progress("large").completed, candidates)
        return [found, *_looks(store, repeats), *_commands(address, repeats)]


def _looks(store: Store, repeats: int) -> list[Figure]:
    among = f"accuracy > 0.5 and {GENES[3]['name']} = 'lora4'"
    looks: dict[str, tuple[float, Callable[[], object]]] = {  # what -> bar in seconds, verb
        "what status reads": (0.3, lambda: (store.campaign("large"), store.progress("large"))),
        "the best 20 of a filter": (0.2, lambda: store.candidates("large", among, "-accuracy", limit=20)),
        "the same in an order without an index": (0.2, lambda: store.candidates("large", among, "loss", limit=20)),
        "the front": (0.2, lambda: store.candidates("large", front=True)),
        "the front of a filter": (1, lambda: store.candidates("large", among, front=True)),
        "all that is remembered": (3, lambda: store.remembered(KEY.fingerprint, KEY.split, KEY.numerics)),
    }
    return [below(what, _seconds(look, repeats), bar, "s") for what, (bar, look) in looks.items()]


def _commands(address: str, repeats: int) -> list[Figure]:
    """Whole processes, with Python's start and every import: what a person waits for."""
    program = str(Path(sys.executable).with_name("glora-search"))
    commands = {
        "the command `status NAME`": ("status", "large"),
        "the command `candidates NAME --limit 20`": ("candidates", "large", "--order-by", "-accuracy", "--limit", "20"),
        "the command `candidates NAME --front`": ("candidates", "large", "--front"),
    }

    def run(*arguments: str) -> None:
        command = [program, *arguments, "--format", "json", "--db", address]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=60)

    seconds = {what: _seconds(partial(run, *arguments), repeats) for what, arguments in commands.items()}
    return [below(what, found, 1, "s") for what, found in seconds.items()]


def full_disk(folder: Path, damage: bool = False) -> list[Figure]:
    """A disk that fills up, a database that takes no writes, and one that is removed while in use; SQLite's alone.

    Expects faults of a file that was given some `damage`.
    """
    path = folder / "glora.db"
    with open_store(str(path)) as store:
        _begin(store, "digits")
        store.propose("digits", 0, _proposals(0, 2))
        full = _refused(lambda: _propose_on_a_full_disk(store), "is full; free some space")
        whole = len(store.candidates("digits")) == 2
        store.propose("digits", 1, _proposals(2, 200))  # there is space again
        with open_store(f"sqlite:///file:{path}?mode=ro&uri=true", create=False) as readers:
            read_only = _refused(lambda: readers.set_state("digits", "paused"), "is read-only; allow writing")
        if damage:
            _damage(store, path)
        found = faults(str(path))
        path.unlink()
        removed = _refused(lambda: store.set_state("digits", "paused"), "was removed or replaced while in use")
    return [
        exactly("a full disk, a read-only database and a removed one, told as such", full + read_only + removed, 3),
        exactly("generations written in part", int(not whole), 0),
        exactly("faults of the database afterwards", found, 0),
        exactly("databases made anew in place of the removed one", int(path.exists()), 0),
    ]


def postgresql(folder: Path) -> list[Figure]:
    """T5 to T8 and T17 on a PostgreSQL server as it comes. Raises `postgres.NoPostgres`."""
    experiments: tuple[Callable[..., list[Figure]], ...] = (transactions, claims, writer_kills, large)
    found: list[Figure] = []
    with postgres.server(postgres.AS_IT_COMES) as lend:
        for experiment in experiments:
            with lend() as url:
                found += experiment(folder, url=url)
    return found


def faults(address: str) -> int:
    """How many things a check of the database complains of."""
    engine = connect(address, create=False)
    try:
        report = schema.check(engine)
    except StoreError:  # so damaged that it cannot be looked over
        return 1
    finally:
        engine.dispose()
    return len(report.integrity) + len(report.orphans) + (report.current != report.head)


def fill(address: str, candidates: int) -> None:
    """Give the campaign `large` completed candidates, in generations of 1,000, at random over sizes and accuracies."""
    draw, engine = random.Random(0), connect(address, create=False)
    for first in range(0, candidates, 1000):
        many_rows = [_rows(draw, number) for number in range(first, min(first + 1000, candidates))]
        with writing(engine) as session:
            session.execute(insert(EvaluationRow), [evaluation for evaluation, _ in many_rows])
            session.execute(insert(CandidateRow), [candidate for _, candidate in many_rows])
    engine.dispose()


def _rows(draw: random.Random, number: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """An evaluation and the candidate that it finished."""
    genome = "".join(draw.choices(LETTERS, k=len(GENES)))
    ended = {
        "status": Status.COMPLETED,
        "accuracy": draw.random(),
        "loss": draw.random(),
        "seconds": 0.1,
        "worker": "w",
    }
    named = {"fingerprint": KEY.fingerprint, "split": KEY.split, "numerics": KEY.numerics, "digest": KEY.digest(genome)}
    proposed = {
        "campaign_id": 1,
        "number": number,
        "genome_digest": genome_digest(genome),
        "generation": number // 1000,
        "operator": "mutation",
        "parents": [max(number - 1000, 0)],
        "params": draw.randrange(1_600_000),
        "evaluation_digest": named["digest"],
        "finished_at": now(),
    }
    return named | ended | {"genome": genome, "correct": bytes(25)}, proposed | ended | {"genome": genome}


def _begin(store: Store, name: str) -> None:
    """A campaign as a real one: its row holds a whole config and the alphabet of every gene."""
    config = read_config(ROOT / "examples" / "digits.yaml").model_dump(mode="json")
    store.create_campaign(name, config | {"name": name}, seed=0)
    store.begin_search(name, GENES, KEY.fingerprint, KEY.split, {"precision": "float32", "chunk": 64})


def _proposals(first: int, count: int) -> list[Proposal]:
    return [Proposal(i, f"{i:04}" + "d" * 3000, "random", (), 0) for i in range(first, first + count)]


def _propose_on_a_full_disk(store: Store) -> None:
    with store._engine.connect() as connection:  # the pool hands this one connection out again
        pages = connection.scalar(text("PRAGMA page_count"))
        connection.execute(text(f"PRAGMA max_page_count = {pages + 20}"))
    try:
        store.propose("digits", 1, _proposals(2, 200))
    finally:
        with store._engine.connect() as connection:
            connection.execute(text("PRAGMA max_page_count = 1000000"))


def _damage(store: Store, path: Path) -> None:
    """Write over pages in the middle of the file."""
    with store._engine.connect() as connection:
        connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
    with path.open("r+b") as stream:
        stream.seek(path.stat().st_size // 2)
        stream.write(b"\xff" * 16384)


def _refused(act: Callable[[], object], says: str) -> bool:
    """Whether an act raises a `StoreError` that says so."""
    try:
        act()
    except StoreError as error:
        return says in str(error)
    return False


def _quantile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1] if len(values) > 1 else float("inf")


def _seconds(act: Callable[[], object], repeats: int) -> float:
    """The median of some runs."""
    took = []
    for _ in range(repeats):
        begin = time.perf_counter()
        act()
        took.append(time.perf_counter() - begin)
    return statistics.median(took)
