"""What the world does to a campaign that is no fault of it: a full disk, a file system or a database that went away.

A campaign that meets it pauses, since it goes on from what it recorded once a person has mended it.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator

from db.errors import StoreError

DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}
IN_RUST = re.compile(r"os error (\d+)")  # safetensors says so in words alone


def trouble(error: BaseException) -> str | None:
    """A sentence for a person if a disk or the database is behind the error, and None if anything else is.

    Of the store's errors those are meant that have no class of their own: the others say what a campaign did wrong.
    """
    if type(error) is StoreError:
        return str(error)
    for cause in _causes(error):
        if _number(cause) in DISK:
            return _sentence(cause) if cause is error else str(error)
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, what it was raised from or while handling, and so on: `from None` hides that from readers only."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _number(error: BaseException) -> int | None:
    if isinstance(error, OSError):
        return error.errno
    found = IN_RUST.search(str(error)) if type(error).__name__ == "SafetensorError" else None
    return int(found[1]) if found else None


def _sentence(error: BaseException) -> str:
    """An error of the operating system names its file, if it knows it."""
    name, reason = getattr(error, "filename", None), getattr(error, "strerror", None) or str(error)
    return f"{name or 'a file'} cannot be used: {reason}; make room or give access"
