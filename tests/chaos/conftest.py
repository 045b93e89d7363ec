"""One Ray session for the experiments that need workers; it starts with the first of them."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="package")
def ray_session() -> Iterator[None]:
    import ray

    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"  # else Ray warns, and warnings are errors here
    os.environ["RAY_memory_monitor_refresh_ms"] = "0"  # noqa: SIM112 (a neighbour must not have our workers killed)
    ray.init(num_cpus=4, num_gpus=0, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    yield
    ray.shutdown()
