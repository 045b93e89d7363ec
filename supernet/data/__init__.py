"""Data sources. Training and search read two named splits; a test set stays closed until the final report opens it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from supernet.data.split import Data, Split

if TYPE_CHECKING:
    from supernet.settings import DataSettings

__all__ = ["Data", "Split", "load_data"]


def load_data(settings: DataSettings, image_size: int) -> Data:
    """Read and decode train and val of the source named, `image_size` pixels square. Raises BadInput and Missing."""
    match settings.source:
        case "digits":
            from supernet.data.digits import load
        case "vtab":
            from supernet.data.vtab import load
        case "folder":
            from supernet.data.folder import load
        case "timm":
            from supernet.data.timm_source import load
    return load(settings, image_size)
