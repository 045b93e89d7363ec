"""How the cores of a machine are shared among workers."""

from __future__ import annotations

import os

from workers.settings import WorkerSettings


def threads_per_worker(settings: WorkerSettings) -> int:
    """The setting, or an equal share of this machine's cores, at least one."""
    workers = settings.count if settings.backend == "ray" else 1
    return settings.threads or max(1, len(os.sched_getaffinity(0)) // workers)


def training_threads(settings: WorkerSettings) -> int:
    """The setting, or all cores: training has the machine to itself. Never `count`, since threads move last bits."""
    return settings.threads or len(os.sched_getaffinity(0))
