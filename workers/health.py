"""Does Ray work here? Starts one worker and asks it for its versions."""

from __future__ import annotations

import ray

from workers import versions
from workers.cluster import connected
from workers.settings import WorkerSettings


def ray_health() -> str:
    """What a worker answered."""
    with connected(WorkerSettings()):
        return f"starts; workers have {ray.get(ray.remote(_versions).remote())}"


def _versions() -> str:
    """A plain function, as Ray wants one: `versions.here` is cached."""
    return versions.here()
