"""Named places at which a driver can be made to die, so that tests may kill it where it hurts.

    GLORA_SEARCH_CRASH_AT=recorded:7    SIGKILL when this process comes to `recorded` for the seventh time

Only chaos experiments set it. Whatever lies between two points happens as a whole, or again after a resume.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from typing import Literal, get_args

VARIABLE = "GLORA_SEARCH_CRASH_AT"

Point = Literal[
    "enrolled",  # the campaign has its row
    "leased",  # and its driver
    "probed",  # its numerics are stored
    "checkpoint-kept",  # of the training
    "trained",  # in memory only
    "supernet-saved",  # its file is whole, the database does not know it
    "supernet-recorded",
    "search-begun",
    "proposed",  # a generation's candidates have their rows
    "scored",  # an outcome is in memory only
    "recorded",  # an outcome has its row
    "selected",  # a generation's survivors
    "probe-trained",  # the linear probe, before the search where the supernet was trained
    "finalists-scored",
    "refitted",  # in memory only
    "refit-saved",  # its file is whole
    "test-opened",
    "exported",
    "finished",
]
POINTS: tuple[Point, ...] = get_args(Point)

_times: Counter[str] = Counter()  # that this process came by


def reached(point: Point) -> None:
    """Die here, if this is where and when the environment says so."""
    _times[point] += 1
    if os.environ.get(VARIABLE) == f"{point}:{_times[point]}":
        os.kill(os.getpid(), signal.SIGKILL)
