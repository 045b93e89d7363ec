"""The one place that knows which pool a setting means. Ray is imported only when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from workers.settings import WorkerSettings
from workers.trainer import Pool


@contextmanager
def open_pool(settings: WorkerSettings) -> Iterator[Pool]:
    """The pool that the settings name. Raises BadInput if its cluster cannot be reached or is too small.

    A process is forked from this one, where that is safe, so threads are better started afterwards.
    """
    if settings.backend == "local":
        from workers.local import LocalPool

        yield LocalPool(settings)
        return
    from workers.forerunner import forked

    with forked(settings) as forerunner, ExitStack() as connection:  # forked before Ray is imported
        from workers.cluster import connected
        from workers.pool import RayPool

        pool = RayPool(settings, lambda: connection.enter_context(connected(settings)), forerunner)
        try:
            yield pool
        finally:
            pool.close()
