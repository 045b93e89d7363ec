"""A worker must run the driver's version of this project: another one may compute other numbers."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version

from supernet.errors import BadInput


@cache  # each is read from files of its package
def here() -> str:
    """This process's versions of the project and of torch."""
    return f"glora-search {version('glora-search')}, torch {version('torch')}"


def require_same(driver: str) -> None:
    """Raises BadInput if this process has other versions than the driver."""
    if here() != driver:
        raise BadInput(f"The driver has {driver}, a worker has {here()}. Install the same versions on every machine.")
