"""A worker that cannot compute as the campaign's numerics say is refused before it scores anything."""

from __future__ import annotations

from supernet import onednn
from supernet.errors import BadInput
from supernet.numerics import Numerics, device_kind


def require_provided(numerics: Numerics) -> None:
    """Raises BadInput if this machine's device is of another kind than the campaign's, or lacks its kernels."""
    here = device_kind(gpu=numerics.device.type == "cuda")
    if here != numerics.device_kind:
        raise BadInput(
            f"This campaign computes on {numerics.device_kind!r}, this worker has {here!r}: its results would "
            "differ in their last bits. Use workers of the first kind, or launch under another name."
        )
    if numerics.kernels == "onednn" and not onednn.works():
        raise BadInput(
            "This campaign computes with oneDNN's kernels for Linears with bias and GELU, which this worker's torch "
            "lacks. Give it the torch of the machine on which the campaign began, or launch under another name."
        )
