"""T21: two campaigns on one database and one Ray cluster end as each does alone."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chaos.figures import Figure, exactly
from chaos.resume import Campaign, ended
from chaos.tiny import tiny


@contextmanager
def cluster(cpus: int) -> Iterator[str]:
    """A Ray head of its own on this machine; its address. Others' Ray processes are left alone."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    ray = Path(sys.executable).with_name("ray")
    options = [f"--port={port}", f"--num-cpus={cpus}", "--num-gpus=0", "--include-dashboard=false", "--block"]
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    head = subprocess.Popen(
        [ray, "start", "--head", "--node-ip-address=127.0.0.1", *options],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).resolve().parent.parent)},
        **quiet,  # type: ignore[call-overload]
    )
    try:
        _until_listening(port)
        yield f"127.0.0.1:{port}"
    finally:
        head.terminate()  # it takes its raylet, its workers and its store with it
        head.wait(60)


def _until_listening(port: int) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise TimeoutError(f"no Ray head listens at port {port} after 60 s")


def two_campaigns(folder: Path, url: str = "", population: int = 30, generations: int = 4) -> list[Figure]:
    """Of different seeds, at the same time; beside them the same two alone, in process."""
    inputs, names, total = folder / "inputs", ("one", "two"), population + 15 * generations
    search = {"population": population, "generations": generations, "parents": 5, "crossover": 8, "mutation": 7}
    alone = [
        Campaign(tiny(inputs, name=name, seed=seed, search=search), folder / f"{name}-alone")
        for seed, name in enumerate(names)
    ]
    for campaign in alone:
        campaign.finish()
    database = url or str(folder / "shared.db")
    with cluster(cpus=4) as address:
        pool = {"backend": "ray", "count": 2, "threads": 1, "address": address}
        together = [
            Campaign(tiny(inputs, name=name, seed=seed, search=search, workers=pool), folder / name, database)
            for seed, name in enumerate(names)
        ]
        processes = [campaign.start() for campaign in together]
        codes = [ended(process) for process in processes]
    pairs = list(zip(together, alone, strict=True))
    return [
        exactly("exit codes", codes, [0, 0]),
        exactly("candidates", [len(campaign.found()) for campaign in together], [total, total]),
        exactly("campaigns equal to themselves alone", [a.found() == b.found() for a, b in pairs], [True, True]),
        exactly("fronts and reports equal", [_end(a) == _end(b) for a, b in pairs], [True, True]),
    ]


def _end(campaign: Campaign) -> tuple[object, ...]:
    return campaign.front(), campaign.report(), campaign.exported()
