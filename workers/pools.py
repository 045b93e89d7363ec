"""The one place that knows which pool a setting means. Ray is imported only when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from workers.settings import WorkerSettings
from workers.trainer import Pool


@contextmanager
def open_pool(settings: WorkerSettings) -> Iterator[Pool]:
    """The pool that the settings name. Raises BadInput if its cluster cannot be reached or is too small."""
    if settings.backend == "local":
        from workers.local import LocalPool

        yield LocalPool(settings)
        return
    from workers.cluster import connected
    from workers.pool import RayPool

    with connected(settings):
        pool = RayPool(settings)
        try:
            yield pool
        finally:
            pool.close()
