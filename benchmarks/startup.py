"""From a command to what a person waits for: its help, and the first candidate of a supernet that is trained already.

Seconds, since that is what a person waits.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.commands import PROGRAM, environment, output, places
from benchmarks.figures import Figure, at_most
from benchmarks.setting import DIGITS, read, trained
from benchmarks.timing import timed

FIRST = "search: 1/"  # what `launch` says once one of ten candidates is recorded


def startup(work: Path, config: Path = DIGITS, times: int = 3) -> list[Figure]:
    """Medians of so many starts. Each launch has a database of its own, so that it remembers no candidate."""
    trained(read(config), work)
    helps = [timed(lambda: output("--help")) for _ in range(times)]
    firsts = [first_candidate(config, work) for _ in range(times)]
    return [
        at_most("help_seconds", "`--help`", median(helps), 0.3, "s"),
        at_most("first_candidate_seconds", "`launch` to its first candidate, supernet trained", median(firsts), 8, "s"),
    ]


def first_candidate(config: Path, work: Path) -> float:
    """Seconds from the command to the first recorded candidate."""
    with tempfile.TemporaryDirectory(prefix="benchmarks-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        shutil.copytree(work / "supernets", folder / "runs" / "supernets")
        few = ("--set", "search.population=10", "--set", "search.generations=0")
        command = [*PROGRAM, "launch", str(config), *places(folder), *few]
        begin = time.perf_counter()
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment()
        )
        try:
            return _until_first(process, begin)
        finally:  # the first interrupt asks for a pause, which leaves no process of Ray's behind
            process.send_signal(signal.SIGINT)
            process.communicate()


def _until_first(process: subprocess.Popen[str], begin: float) -> float:
    """Seconds since `begin` when it says that a candidate is recorded."""
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if line.startswith(FIRST):
            return time.perf_counter() - begin
    raise RuntimeError(f"The launch ended without a candidate:\n{''.join(said)}")
