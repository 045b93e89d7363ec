"""Where and with what it was measured."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch

from supernet.numerics import fast_bfloat16, probe
from workers.settings import WorkerSettings
from workers.threads import threads_per_worker

PACKAGES = ("torch", "timm", "peft")


def machine() -> dict[str, str]:
    """The header of the table, as plain data."""
    cores = len(os.sched_getaffinity(0))
    numerics, _ = probe(cores, gpu=torch.cuda.is_available())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cpu": cpu_model(),
        "capability": ", ".join(filter(None, (numerics.device_kind, fast_bfloat16(numerics.device_kind)))),
        "precision": numerics.precision,
        "cores": str(cores),
        "threads": str(threads_per_worker(WorkerSettings(backend="local"))),  # of every process that times something
        "memory": f"{memory:.0f} GiB",
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        "date": datetime.now(UTC).date().isoformat(),
    }


def cpu_model() -> str:
    """As the kernel names it; the architecture where it does not."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def sentence(found: dict[str, str]) -> str:
    """The header as one line of a page."""
    packages = ", ".join(f"{name} {found[name]}" for name in ("python", *PACKAGES))
    return (
        f"Measured on {found['date']}: {found['cpu']} ({found['capability']}), {found['cores']} cores, "
        f"{found['threads']} threads, {found['memory']}, {found['precision']}, {packages}."
    )
