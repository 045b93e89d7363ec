"""Join a Ray cluster or start one on this machine, and leave it as it was found: running, or gone without a trace."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray

from supernet.errors import BadInput
from workers.reaping import agents_go_with_us, heard_again, hidden_from_hangups, reaping
from workers.settings import WorkerSettings
from workers.threads import threads_per_worker

PATIENCE = 10.0  # seconds
QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
ENVIRONMENT = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_get_check_signal_interval_milliseconds": "100",  # of 1000, which a second Ctrl-C would wait for
}
PACKAGES = Path(__file__).resolve().parent.parent  # the folder that holds this project's packages


@contextmanager
def connected(settings: WorkerSettings) -> Iterator[None]:
    """A connection to Ray; one that the process already has is used and kept."""
    if ray.is_initialized():
        yield
        return
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with _started(settings) if settings.address is None else _joined(settings.address):
        yield


@contextmanager
def _started(settings: WorkerSettings) -> Iterator[None]:
    """A Ray of our own, of which no process is left."""
    cpus = max(len(os.sched_getaffinity(0)), settings.count * threads_per_worker(settings))
    with reaping(_shut_down):
        with _from_packages(), hidden_from_hangups():
            ray.init(address="local", num_cpus=cpus, include_dashboard=False, **QUIET)  # never one that runs here
        with agents_go_with_us():
            yield


def _shut_down(kill: Callable[[], None]) -> None:
    """End Ray as `ray.shutdown` does, but have `kill` end its processes, at once and together.

    Ray would ask one after the other to end, and wait up to a second for each. Killed before the driver has taken its
    leave of them, they would be missed for 5 s.
    """
    if (node := getattr(ray._private.worker, "_global_node", None)) is not None:
        end = node.kill_all_processes

        def kill_all_processes(*arguments: object, **options: object) -> None:
            heard_again()
            kill()
            end(*arguments, **options)  # finds them dead, and keeps its books

        node.kill_all_processes = kill_all_processes
    ray.shutdown()


@contextmanager
def _joined(address: str) -> Iterator[None]:
    """A Ray of others, which goes on without us. Raises BadInput if there is none."""
    try:
        _require_listening(address)
        _show_token()
        with _from_packages():
            ray.init(address=address, **QUIET)
    except (OSError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise BadInput(
            f"No Ray cluster answers at workers.address {address!r} ({reason}). "
            "Start one with `ray start --head`, or set workers.address to null to use this machine alone."
        ) from None
    try:
        yield
    finally:
        ray.shutdown()
        heard_again()


def _show_token() -> None:
    """Where there is a token `ray start` asks for it, if RAY_AUTH_MODE says nothing else, but `ray.init` shows none."""
    with contextlib.suppress(ImportError):  # a Ray that knows no tokens, or keeps them elsewhere
        setup = importlib.import_module("ray._private.authentication.authentication_token_setup")
        logging.getLogger(setup.__name__).setLevel(logging.ERROR)
        if enable := getattr(setup, "maybe_enable_token_auth_if_token_available", None):
            enable(warn_if_disabled=False)


@contextmanager
def _from_packages() -> Iterator[None]:
    """For `ray.init`, which takes the working directory for its workers' path, and SIGTERM for itself: it would abort.

    There a user's own `db.py` would shadow ours.
    """
    ours = signal.getsignal(signal.SIGTERM)
    try:
        with contextlib.chdir(PACKAGES):
            yield
    except SystemExit:  # SIGTERM while Ray had it
        raise KeyboardInterrupt from None
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, ours)


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
