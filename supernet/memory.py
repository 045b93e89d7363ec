"""Out of memory: how torch, numpy and Python say it, what can be given back, and what a person can do."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import torch

from supernet.errors import BadInput

# torch has an error of its own for a GPU that is full, but none for a machine that is, nor for cuBLAS's workspace.
_SAYINGS = (
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)


SPARE, MOST = 16, 2**30  # of what is free one part in so many, and bytes at most


def room() -> int:
    """Bytes of this machine's memory that may hold what could be computed again."""
    return min(MOST, int(psutil.virtual_memory().available) // SPARE)


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
