"""Where files of campaigns lie: a folder for each campaign, and one for supernets, which campaigns share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DEFAULT_DB = "glora-search.db"
DEFAULT_RUNS = Path("runs")


@dataclass(frozen=True)
class Places:
    """Paths below the runs folder. Campaign names are checked against settings.NAME, so they cannot leave it."""

    runs: Path

    def supernet(self, recipe: str) -> Path:
        return self.runs / "supernets" / f"{recipe[:16]}.safetensors"

    def picture(self, name: str) -> Path:
        return self.runs / name / "candidates.png"

    def export(self, name: str, chosen: str | None) -> Path:
        """The folder that the config names, or runs/NAME/export."""
        return Path(chosen) if chosen else self.runs / name / "export"
