"""What an export knows of the examples that its subnet was trained and chosen on: data settings and splits' keys.

Where a data set has no test split of its own, what train and val leave is the test split. So the splits have to be
drawn as the campaign drew them, or else images that were trained on are tested on.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from supernet.data.split import Data
from supernet.errors import BadInput, Corrupt
from supernet.settings import DataSettings

Seen = Mapping[str, Any]  # `settings`, and the keys of the splits `train` and `val`


def seen(settings: DataSettings, data: Data) -> dict[str, Any]:
    """As plain JSON data."""
    return {"settings": settings.model_dump(mode="json"), "train": data.train.key(), "val": data.val.key()}


def as_seen(source: str, root: str | None, known: Seen | None) -> DataSettings:
    """Splits of this source as the campaign had them, if that was its source. Raises Corrupt for a record that is none.

    Another root is searched for the same splits: a folder may have been moved.
    """
    given = DataSettings.model_validate({"source": source, "root": root})
    if known is None or (settings := _settings(known)).source != source:
        return given
    return settings if _place(settings) == _place(given) else settings.model_copy(update={"root": root, "name": None})


def require_unseen(data: Data, known: Seen | None, chosen: bool) -> None:
    """Raises BadInput if the test split may hold examples that the subnet was trained or chosen on.

    `chosen` says that someone chose the splits, in a config: that is believed where the export knows nothing.
    """
    if not data.drawn or (known is None and chosen):
        return
    given = "pass folder:PATH of a folder with given splits, PATH/train/CLASS/ and PATH/test/CLASS/"
    if known is None:
        raise BadInput(
            "This data has no test split of its own, and the export, of an earlier version, does not say which images "
            "it was trained on: any test split drawn here may hold some. Export it again, pass the campaign's config, "
            f"or {given}."
        )
    if (known.get("train"), known.get("val")) != (data.train.key(), data.val.key()):
        raise BadInput(
            "This data has no test split of its own, and the train and val splits drawn here are not those that the "
            "export was trained and chosen on: the test split may hold some of their images. Pass the campaign's data "
            f"as it was, or {given}."
        )


def _settings(known: Seen) -> DataSettings:
    try:
        return DataSettings.model_validate(known["settings"])
    except (ValidationError, KeyError, TypeError) as error:
        raise Corrupt(f"The data section of export.json cannot be read ({error}). Export the subnet again.") from None


def _place(settings: DataSettings) -> Path | None:
    return None if settings.root is None else Path(settings.root).expanduser().resolve()
