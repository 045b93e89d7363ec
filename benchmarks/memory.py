"""Peak memory of a training step, ours over PEFT's LoRA: each in a process of its own.

    peak - level - frozen

`level` is what the process holds with torch, the backbone's arrays and the data in memory, before a model is built;
`frozen` the bytes of the backbone's weights, which every model holds. What is left is all that training adds: trained
numbers, moments, gradients, activations. On a CPU it is read from the kernel (VmHWM, reset at the level), on a GPU from
torch's own count.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.figures import Figure, at_most
from benchmarks.timing import Times

STEPS = 4
ROUNDS = 3  # of a process each, since what the allocator keeps beyond what is used varies by a third
ROOT = Path(__file__).parent.parent


def memory_over_lora(config: Path, size: int, suffix: str = "") -> Figure:
    rounds = [(measured("ours", config, size), measured("lora", config, size)) for _ in range(ROUNDS)]
    found = Times({"ours": tuple(ours for ours, _ in rounds), "lora": tuple(lora for _, lora in rounds)})
    what = f"peak memory of a supernet's training beyond the backbone, over that of PEFT's LoRA, {size} px"
    return at_most(f"memory_over_lora{suffix}", what, found.ratio("ours", "lora"), 1.3)


def measured(name: str, config: Path, size: int) -> int:
    """Bytes that training adds, found by a fresh process."""
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", name, str(config), str(size)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    return int(run.stdout.split()[-1])


def added(name: str, config: Path, size: int) -> int:
    """Bytes that training adds in this process, which has done nothing else."""
    from benchmarks import peers
    from benchmarks.setting import at
    from benchmarks.step import batch

    setting = at(config, size)
    images, labels = batch(setting, setting.inputs.data.train)
    frozen = sum(array.nbytes for array in setting.inputs.backbone.state.values())
    level = _reset()
    head = setting.inputs.settings.training.head  # which may be fitted first
    take: Callable[[], float] = (
        peers.Ours(setting, head) if name == "ours" else peers.step(name, setting, images, labels)
    )
    for _ in range(STEPS):
        take()
    return _peak() - level - frozen


def _reset() -> int:
    """Bytes held now, from which the peak is counted anew."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _peak() -> int:
    return torch.cuda.max_memory_allocated() if torch.cuda.is_initialized() else _status("VmHWM")


def _status(field: str) -> int:
    """Bytes, from the kernel's account of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (found,) = (line.split()[1] for line in lines if line.startswith(f"{field}:"))
    return 1024 * int(found)


if __name__ == "__main__":
    print(added(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
