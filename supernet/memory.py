"""Out of memory: how torch, numpy and Python say it, what can be given back, and what a person can do."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import torch

from supernet.errors import BadInput

# torch has an error of its own for a GPU that is full, but none for a machine that is, nor for cuBLAS's workspace.
_SAYINGS = (
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)


SPARE, MOST = 8, 2**30  # of what is free one part in so many for all processes, and bytes at most for one
CGROUP = Path("/sys/fs/cgroup")  # a container's own limit, on Linux


def room(peers: int = 1) -> int:
    """Bytes of this machine's memory that may hold what could be computed again, here and in as many such processes."""
    free = int(psutil.virtual_memory().available)
    with suppress(OSError, ValueError):  # no file, or no number in it: no limit
        free = min(free, int((CGROUP / "memory.max").read_text()) - int((CGROUP / "memory.current").read_text()))
    return min(MOST, max(0, free) // (SPARE * peers))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether less at a time could help."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(saying in str(error) for saying in _SAYINGS)


def free() -> None:
    """Give back what nobody uses. Call it when the error is no longer handled: its traceback holds tensors."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@contextmanager
def advised(advice: str) -> Iterator[None]:
    """Running out of memory within becomes BadInput with the advice."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        said = str(error).strip().splitlines()
        raise BadInput(f"Training ran out of memory ({said[0] if said else 'MemoryError'}). {advice}") from None
