"""The processes of a Ray that this process started: none of them outlives it, however it ends.

Ray ends its own processes at `ray.shutdown`, and Linux ends the gcs_server, the raylet and their like with the driver.
Two things are left. A driver that is interrupted while Ray starts or stops has processes that Ray does not know of
(any more). And the raylet's two agents outlive a driver that was killed by 61 s (measured), in which they try to report
the raylet's death to the gcs_server that died with it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psutil

HEARD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GRACE = 5.0  # seconds until a killed process is gone; a disk that hangs may hold one up


@contextmanager
def reaping(stop: Callable[[Callable[[], None]], object]) -> Iterator[None]:
    """At the end of the context call `stop`, and kill what was started in it, by whomever, and is still there then.

    `stop` is handed the killing, to have it done earlier. No signal interrupts all that: it takes about a second.
    """
    before = _children()
    try:
        yield
    finally:
        with deaf():
            ours = _with_descendants(_children() - before)  # now: what loses its parent is a descendant no more
            try:
                stop(lambda: _kill(ours))
            finally:
                _kill(ours)


@contextmanager
def deaf() -> Iterator[None]:
    """Signals that end a command are not heard within the context, which must be short."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, lambda *_: None) for number in HEARD}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def heard_again() -> None:
    """Ray's C++, as it ends, sets SIGTERM back to what kills a process at once, and Python knows nothing of it."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))


@contextmanager
def hidden_from_hangups() -> Iterator[None]:
    """What starts within the context does not hear that the terminal was closed; this process hears it afterwards.

    Ray hides Ctrl-C from its processes in the same way: they are in the terminal's foreground too, and a driver could
    not finish what is in flight without them.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def agents_go_with_us() -> Iterator[None]:
    """Should this process be killed within the context, so are Ray's agents.

    A shell reads from a pipe which ends with us. Of Ray's processes only the agents are named to it: they live as long
    as the raylet, so that their numbers cannot have gone to others meanwhile.
    """
    agents = [str(each.pid) for each in _with_descendants(_children()) if "agent" in _command(each).lower()]
    watch = ["/bin/sh", "-c", 'read gone; kill -9 "$@" 2>/dev/null', "watch", *agents]
    with subprocess.Popen(watch, stdin=subprocess.PIPE, start_new_session=True) as shell:
        try:
            yield
        finally:
            shell.kill()


def _children() -> set[Any]:
    """Processes compare by number and time of start."""
    return set(psutil.Process(os.getpid()).children())


def _with_descendants(processes: set[Any]) -> set[Any]:
    found = set(processes)
    for process in processes:
        with suppress(psutil.Error):
            found.update(process.children(recursive=True))
    return found


def _command(process: Any) -> str:
    with suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def _kill(processes: set[Any]) -> None:
    """Kill them and wait until they are gone, which takes a moment, or GRACE if one hangs in the kernel."""
    for process in processes:
        with suppress(psutil.Error):  # gone already
            process.kill()
    deadline = time.monotonic() + GRACE
    while any(map(alive, processes)) and time.monotonic() < deadline:
        time.sleep(0.01)


def alive(process: Any) -> bool:
    """Whether it still runs: one that waits to be collected by its parent does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
