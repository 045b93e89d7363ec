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
from benchmarks.figures import Figure, at_most, beside
from benchmarks.setting import DIGITS, read, trained
from benchmarks.timing import timed

FIRST = "search: 1/"  # what `launch` says once one of ten candidates is recorded


def startup(work: Path, config: Path = DIGITS, times: int = 3) -> list[Figure]:
    """Medians of so many starts, all in one database: the first meets a supernet that no campaign searched yet."""
    trained(read(config), work)
    helps = [timed(lambda: output("--help")) for _ in range(times)]
    with tempfile.TemporaryDirectory(prefix="benchmarks-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        shutil.copytree(work / "supernets", folder / "runs" / "supernets")
        first, *later = (first_candidate(config, folder, number) for number in range(times + 1))
    what = "`launch` to its first candidate, supernet trained"
    return [
        at_most("help_seconds", "`--help`", median(helps), 0.3, "s"),
        at_most("first_candidate_seconds", what, median(later), 8, "s"),
        beside("first_campaign_seconds", f"{what}, and no campaign on it yet: numerics are probed", first, "s"),
    ]


def first_candidate(config: Path, folder: Path, number: int) -> float:
    """Seconds from the command to the first recorded candidate; each number's candidates differ from the others'."""
    few = ("search.population=10", "search.generations=0", f"search.max_parameters={250_000 - 40_000 * number}")
    options = (option for setting in few for option in ("--set", setting))
    command = [*PROGRAM, "launch", str(config), *places(folder), "--name", f"start-{number}", *options]
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment())
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
