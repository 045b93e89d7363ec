"""Where files of campaigns lie: a folder for each campaign, and one for supernets, which campaigns share."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from supernet.errors import BadInput

DEFAULT_DB = "glora-search.db"
DEFAULT_RUNS = Path("runs")


@dataclass(frozen=True)
class Places:
    """Paths below the runs folder. Campaign names are checked against settings.NAME, so they cannot leave it."""

    runs: Path

    def require_writable(self) -> None:
        """Raises BadInput if nothing could be written below the runs folder. Creates nothing."""
        _require_writable(self.runs, "Pass another --runs.")

    def require_export(self, name: str, chosen: str | None) -> None:
        """Raises BadInput if at the campaign's end its export could not be written. Creates nothing."""
        from supernet.export import require_free  # torch, which the command line's help does without

        to = self.export(name, chosen)
        if chosen is not None:
            kept, there = (self.runs / name, self.runs / "supernets"), to.resolve()
            if any(there in (own.resolve(), *own.resolve().parents) for own in kept):
                raise BadInput(
                    f"export.to is {chosen}, where the campaign keeps files of its own: an export is a whole folder. "
                    f"Choose another one, or leave it out for {self.export(name, None)}."
                )
            _require_writable(there.parent, "Choose another export.to.")
        require_free(to)

    def supernet(self, recipe: str) -> Path:
        return self.runs / "supernets" / f"{recipe[:16]}.safetensors"

    def checkpoint(self, recipe: str) -> Path:
        """Of a training that is under way."""
        return self.runs / "supernets" / f"{recipe[:16]}.checkpoint.safetensors"

    def picture(self, name: str) -> Path:
        return self.runs / name / "candidates.png"

    def anatomy(self, name: str) -> Path:
        """Of `explain`."""
        return self.runs / name / "anatomy.png"

    def refit(self, name: str) -> Path:
        """The chosen subnet, trained on after the search."""
        return self.runs / name / "refit.safetensors"

    def refit_checkpoint(self, name: str) -> Path:
        return self.runs / name / "refit.checkpoint.safetensors"

    def export(self, name: str, chosen: str | None) -> Path:
        """The folder that the config names, or runs/NAME/export."""
        try:
            return Path(chosen).expanduser() if chosen else self.runs / name / "export"
        except RuntimeError as error:  # a home of nobody
            raise BadInput(f"export.to is {chosen}: {error}") from None

    def comparison(self, name: str, kind: str = "compare") -> Path:
        """The folder of a comparison's outcomes, its trainings under way and its picture; one for each kind."""
        return self.runs / f"{name}.{kind}"


def _require_writable(folder: Path, advice: str) -> None:
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        wrong = "is read-only" if there.is_dir() else "is not a folder"
        raise BadInput(f"Nothing can be written below {folder}: {there} {wrong}. {advice}")
