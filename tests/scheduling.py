"""Which tests run in one process: those of a file, and those of all files that share a Ray session."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).parent.parent


class ByFile(LoadScopeScheduling):
    """For xdist, in place of what `--dist` names: a module's fixtures are made once, and one Ray is enough."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "ray" if _shares_ray(file) else file


@cache
def _shares_ray(file: str) -> bool:
    return file.startswith("tests/workers/") or "ray_session" in (ROOT / file).read_text(encoding="utf-8")
