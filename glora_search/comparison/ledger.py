"""What a comparison has finished, a JSON file each below runs/NAME.compare: it is resumed from what is there.

METHOD.SEED.json     an outcome
METHOD.pace.json     seconds that were measured before anything ran, and the epochs that follow from them
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from db.errors import NameTaken
from glora_search.comparison.outcome import Outcome, from_dict
from glora_search.enrolment import differences
from glora_search.settings import CampaignSettings, recalled
from supernet.errors import BadInput, Corrupt
from supernet.pace import Pace
from supernet.trained import NUMBERS


class Ledger:
    """Of one config. Whatever another config left in the folder is refused."""

    def __init__(self, folder: Path, settings: CampaignSettings) -> None:
        self.folder, self.settings = folder, settings

    def outcome(self, method: str, seed: int) -> Outcome | None:
        """What is known of a row. Raises NameTaken if it is another config's."""
        values = self._read(f"{method}.{seed}.json")
        return None if values is None else from_dict(values)

    def keep(self, outcome: Outcome) -> None:
        self._write(f"{outcome.method}.{outcome.seed}.json", outcome.as_dict())

    def longer(self, method: str) -> int | None:
        """Epochs of the longer training, once they are known."""
        values = self._read(f"{method}.pace.json")
        return None if values is None else int(values["epochs"])

    def keep_longer(self, method: str, epochs: int, pace: Pace) -> None:
        self._write(f"{method}.pace.json", {"epochs": epochs, "pace": asdict(pace)})

    @contextmanager
    def held(self) -> Iterator[None]:
        """For this process alone, for as long as it lives. Raises BadInput if another one has it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BadInput(f"Another process runs this comparison: it holds {lock.name}. Wait for it.") from None
            yield

    def _read(self, name: str) -> dict[str, Any] | None:
        path = self.folder / name
        if not path.is_file():
            return None
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            config, numbers, values = kept["config"], kept.get("numbers"), kept["values"]
        except (ValueError, KeyError) as error:
            raise Corrupt(f"{path} is not what was written ({error}). Delete it and run the command again.") from None
        self._require_same(config, path)
        if numbers != NUMBERS:
            raise BadInput(
                f"{path} is of a version of the program whose training computes other numbers. Finish the comparison "
                "with that version, or compare anew under --set name=ANOTHER."
            )
        return dict(values)

    def _require_same(self, config: Mapping[str, Any], path: Path) -> None:
        before = recalled(config, path.name)
        if lines := differences(before, self.settings):
            raise NameTaken(
                f"{path} is of another config:\n  "
                + "\n  ".join(lines)
                + "\nPass --set name=ANOTHER or another --runs, or the same settings to go on with it."
            )

    def _write(self, name: str, values: Mapping[str, Any]) -> None:
        """Whole or not at all: into a temporary file that is renamed."""
        path = self.folder / name
        partial = path.with_name(f".{name}.{os.getpid()}.partial")
        try:
            with partial.open("w", encoding="utf-8") as file:
                config = self.settings.model_dump(mode="json")
                json.dump({"config": config, "numbers": NUMBERS, "values": values}, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except OSError as error:
            raise BadInput(f"{path} cannot be written ({error}). Make room, and run the command again.") from None
        finally:
            partial.unlink(missing_ok=True)
