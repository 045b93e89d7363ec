"""CUDA graphs: a forward of constant shape recorded once and replayed, without a launch from Python for each kernel.

What is merged is written in place, so a replay sees it. Source: the PyTorch notes on CUDA semantics, section "CUDA
Graphs".
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

Forward = Callable[[Tensor], Tensor]
WARM_UP = 3  # forwards before the capture: libraries choose kernels and take their workspaces


def captured(forward: Forward, images: Tensor) -> Forward:
    """The same function for inputs of the shape of `images`, on a GPU; `forward` itself where it cannot be recorded."""
    try:
        return _captured(forward, images)
    except RuntimeError as error:
        warnings.warn(f"No CUDA graph, each kernel is launched from Python: {error}", stacklevel=2)
        return forward


@torch.inference_mode()
def _captured(forward: Forward, images: Tensor) -> Forward:
    static, side, graph = images.clone(), torch.cuda.Stream(), torch.cuda.CUDAGraph()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM_UP):
            forward(static)
    torch.cuda.current_stream().wait_stream(side)
    with torch.cuda.graph(graph):
        found = forward(static)

    def replay(images: Tensor) -> Tensor:
        static.copy_(images)
        graph.replay()
        return found.clone()  # the next replay writes here again

    return replay
