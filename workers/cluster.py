"""Join a Ray cluster or start one on this machine, and leave it as it was found."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ray

from supernet.errors import BadInput
from workers.settings import WorkerSettings
from workers.threads import threads_per_worker

PATIENCE = 10.0  # seconds
PACKAGES = Path(__file__).resolve().parent.parent  # the folder that holds this project's packages


@contextmanager
def connected(settings: WorkerSettings) -> Iterator[None]:
    """A connection to Ray; one that the process already has is used and kept."""
    if ray.is_initialized():
        yield
        return
    # Ray puts the driver's working directory first on its workers' path, where a user's own `db.py` would shadow ours.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    ours = signal.getsignal(signal.SIGTERM)
    with contextlib.chdir(PACKAGES):
        _connect(settings)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, ours)  # Ray puts its own there, which aborts
    try:
        yield
    finally:
        ray.shutdown()


def _connect(settings: WorkerSettings) -> None:
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if settings.address is None:
        cpus = max(len(os.sched_getaffinity(0)), settings.count * threads_per_worker(settings))
        ray.init(num_cpus=cpus, include_dashboard=False, **quiet)
        return
    try:
        _require_listening(settings.address)
        ray.init(address=settings.address, **quiet)
    except (OSError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise BadInput(
            f"No Ray cluster answers at workers.address {settings.address!r} ({reason}). "
            "Start one with `ray start --head`, or set workers.address to null to use this machine alone."
        ) from None


def _require_listening(address: str) -> None:
    """Raises OSError if nothing answers at HOST:PORT within PATIENCE: Ray itself would try for minutes."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdigit() and "/" not in host:
        socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE).close()


def require_resources(cpus: float, gpus: float) -> None:
    """Raises BadInput if no node of the cluster could ever hold one worker of this size."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if any(node.get("CPU", 0) >= cpus and node.get("GPU", 0) >= gpus for node in nodes):
        return
    has = "; ".join(f"{node.get('CPU', 0):g} CPUs and {node.get('GPU', 0):g} GPUs" for node in nodes)
    raise BadInput(
        f"A worker needs {cpus:g} CPUs and {gpus:g} GPUs on one node, but the nodes have {has}. "
        "Lower workers.threads or workers.gpus_per_worker, or add a node."
    )
