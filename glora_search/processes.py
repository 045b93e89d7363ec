"""Who runs a campaign, so that another process on this machine can see whether it still lives."""

from __future__ import annotations

import hashlib
import os
import re
import socket
from contextlib import suppress
from functools import cache
from pathlib import Path

HOLDER = re.compile(r".*, process (?P<pid>\d+), boot (?P<boot>\w+)")


def this_process() -> str:
    """`vm, process 7333, boot 1a2b3c4d`; without the boot where the system does not tell."""
    boot = f", boot {_boot()}" if _boot() else ""
    return f"{socket.gethostname()}, process {os.getpid()}{boot}"


def is_dead(holder: str) -> bool:
    """Whether that process ran here since the machine's last start, where this one could see it, and is gone."""
    found = HOLDER.fullmatch(holder)
    return found is not None and found["boot"] == _boot() and not _runs(int(found["pid"]))


@cache
def _boot() -> str:
    """Names this start of this machine, and the container: numbers of processes mean the same under one name alone."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
        return hashlib.sha256(f"{boot} {Path('/proc/self/ns/pid').readlink()}".encode()).hexdigest()[:8]
    return ""


def _runs(pid: int) -> bool:
    """One that ended and whose parent has not heard of it yet does not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except ProcessLookupError:
        return False
    except OSError:  # it is there, and another user's
        return True
