"""Out of memory is recognised however it is said, and nothing else is taken for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from supernet import memory
from supernet.errors import BadInput
from supernet.memory import MOST, SPARE, advised, free, is_out_of_memory, room

TOO_MUCH = 2**50  # bytes: a petabyte


@pytest.mark.parametrize(
    "ask",
    [lambda: torch.empty(TOO_MUCH), lambda: np.empty(TOO_MUCH), lambda: bytearray(2**62)],
    ids=["torch", "np", "py"],
)
def test_what_allocators_say_is_understood(ask: Callable[[], object]) -> None:
    with pytest.raises((MemoryError, RuntimeError)) as caught:
        ask()
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("DefaultCPUAllocator: can't allocate memory"), False),
        (OSError("Cannot allocate memory"), False),
    ],
    ids=str,
)
def test_only_that_is_taken_for_it(error: Exception, is_one: bool) -> None:
    assert is_out_of_memory(error) == is_one


def test_it_becomes_advice_and_other_errors_stay_what_they_are() -> None:
    said = r"^Training ran out of memory \(too much\)\. Eat less\.$"
    with pytest.raises(BadInput, match=said) as caught, advised("Eat less."):
        raise torch.OutOfMemoryError("too much\nand a long story")
    assert caught.value.__suppress_context__
    with pytest.raises(BadInput, match=r"\(MemoryError\)"), advised("Eat less."):
        raise MemoryError
    with pytest.raises(RuntimeError, match="shapes"), advised("Eat less."):
        raise RuntimeError("shapes")


def test_freeing_is_harmless() -> None:
    free()


@pytest.mark.parametrize(
    ("group", "peers", "free_bytes"),
    [(None, 1, 2**33), (None, 4, 2**33), ("max", 2, 2**33), (str(2**31), 1, 2**30), (str(2**29), 1, 0)],
)
def test_there_is_room_for_a_share_of_what_is_free_in_the_container_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, group: str | None, peers: int, free_bytes: int
) -> None:
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: SimpleNamespace(available=2**33))
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    if group is not None:
        (tmp_path / "memory.max").write_text(f"{group}\n")
        (tmp_path / "memory.current").write_text(f"{2**30}\n")
    assert room(peers) == min(MOST, free_bytes // SPARE // peers)
