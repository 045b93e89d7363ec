"""How numbers are computed: probed once for a campaign, stored with it, and part of every evaluation's key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch
from torch import nn

from supernet import onednn

CHUNKS = {"cpu": (25, 50, 100), "cuda": (64, 128, 256)}  # examples a forward to choose from


@dataclass(frozen=True)
class Numerics:
    """Everything that may move the last bits of an evaluation."""

    device_kind: str  # `cpu` or `cuda`, with the capability: `cpu AVX512`, `cuda NVIDIA H200`
    precision: Literal["float32", "bfloat16"]  # bfloat16: autocast, sums and norms in float32
    compiled: bool
    attention: Literal["fused", "plain"]  # timm's fused_attn while evaluating
    threads_per_worker: int
    chunk: int  # examples a forward; the last chunk is padded, so that the same kernels run
    kernels: Literal["timm", "lean", "onednn"] = "timm"  # blocks as timm computes them, or plain.py's

    def key(self) -> str:
        """One line of text, equal for equal numerics."""
        return json.dumps(self.as_dict(), sort_keys=True)

    def as_dict(self) -> dict[str, Any]:
        """What is stored; timm's kernels go without saying, as they did before there was a choice."""
        values = asdict(self)
        return values if self.kernels != "timm" else {name: values[name] for name in values if name != "kernels"}

    def in_float32(self) -> Numerics:
        """The same, with every number in float32, as timm's own model computes it: for reported figures."""
        return replace(self, precision="float32", kernels="timm")

    @property
    def device(self) -> torch.device:
        return torch.device(self.device_kind.split()[0])


def with_chunk(key: str, chunk: int) -> str:
    """The key of the same numerics with another number of examples a forward."""
    return from_dict(json.loads(key) | {"chunk": chunk}).key()


def from_dict(values: dict[str, Any]) -> Numerics:
    """The inverse of `as_dict`."""
    return Numerics(**values)


def probe(threads: int, *, gpu: bool = False) -> tuple[Numerics, str]:
    """(numerics for this machine, a sentence that says what was chosen and why). `gpu`: one was reserved.

    What only the backbone can tell, attention and chunk, are defaults: see speed.py.
    """
    kind = device_kind(gpu=gpu)
    on_gpu = kind.startswith("cuda")
    fast = fast_bfloat16(kind)
    numerics = Numerics(
        device_kind=kind,
        precision="bfloat16" if fast else "float32",
        compiled=False,
        attention="fused",
        threads_per_worker=threads,
        chunk=CHUNKS["cuda" if on_gpu else "cpu"][1],
        kernels="timm" if on_gpu else "onednn" if fast and onednn.works() else "lean",
    )
    why = f"{kind} computes bfloat16 fast ({fast})" if fast else f"{kind} has no fast bfloat16"
    if numerics.kernels == "onednn":
        why += ", with bias and GELU in oneDNN's kernels"
    if gpu and not on_gpu:
        why += "; a GPU was reserved, but torch sees none there"
    return numerics, f"{numerics.precision}, {threads} threads a worker: {why}"


def gpus_left_idle(reserved: float) -> str:
    """What to say of this machine's GPUs if none is reserved for a worker, else an empty string."""
    found = 0 if reserved else torch.cuda.device_count()
    return f"; GPUs here that are not used, since workers.gpus_per_worker is 0: {found}" if found else ""


def device_kind(*, gpu: bool) -> str:
    """`cuda NAME` if a GPU is wanted and there, else `cpu CAPABILITY`."""
    if gpu and torch.cuda.is_available():
        return f"cuda {torch.cuda.get_device_name()}"
    return f"cpu {torch.backends.cpu.get_cpu_capability()}"


def fast_bfloat16(kind: str) -> str:
    """The feature that makes bfloat16 fast here, or an empty string."""
    if kind.startswith("cuda"):
        return "tensor cores" if torch.cuda.is_bf16_supported(including_emulation=False) else ""
    amx = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)()
    avx = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    return "AMX" if amx else "AVX512-BF16" if avx else ""


def prepare_process(threads: int) -> None:
    """Set threads and flush-denormal, before the first parallel operation of the process.

    Once the loss nears zero, gradients turn denormal, and a step on a CPU slows ten-fold and more.
    """
    torch.set_flush_denormal(True)
    torch.backends.cudnn.allow_tf32 = False  # float32 figures are float32, the patch embedding's convolution too
    torch.set_num_threads(threads)


@contextmanager
def autocast(numerics: Numerics) -> Iterator[None]:
    """bfloat16 autocast where the numerics ask for it."""
    with torch.autocast(numerics.device.type, dtype=torch.bfloat16, enabled=numerics.precision == "bfloat16"):
        yield


def set_fused_attention(model: nn.Module, fused: bool) -> None:
    """On a CPU the backward pass of fused attention takes a third of a step at short lengths; training turns it off."""
    for module in model.modules():
        if hasattr(module, "fused_attn"):
            setattr(module, "fused_attn", fused)  # noqa: B010 (timm's own attribute, unknown to the type)
