"""Which file system a path lies on, as far as it matters to SQLite: on a network one its locks and the shared memory of
its write-ahead log do not work, and a database there is damaged sooner or later.

Not refused, because one machine's processes still share locks and memory there: 9p and virtiofs (the folders of a
virtual machine or of WSL), and overlays. A mount table that cannot be read (not on Linux) refuses nothing.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from db.errors import StoreError

TABLE = Path("/proc/mounts")
NETWORK = {
    *("nfs", "nfs3", "nfs4", "cifs", "smb3", "smbfs", "smb", "ncpfs", "afs", "kafs", "coda"),
    *("glusterfs", "ceph", "lustre", "gpfs", "beegfs", "panfs", "pvfs2", "orangefs", "wekafs"),
}
THROUGH_FUSE = {"sshfs", "glusterfs", "ceph", "s3fs", "gcsfuse", "rclone", "juicefs", "davfs", "lizardfs"}


@dataclass(frozen=True)
class Mount:
    point: Path
    kind: str  # as in the mount table: ext4, nfs4, fuse.sshfs


def mount_table() -> str:
    """The mounts of this machine in the format of /proc/mounts; nothing where there is no such file."""
    try:
        return TABLE.read_text(errors="surrogateescape")
    except OSError:
        return ""


def mounts(table: str) -> list[Mount]:
    """`DEVICE POINT KIND OPTIONS ..` a line, in the order of mounting; a blank in a path is written \\040."""
    words = [line.split(" ") for line in table.splitlines()]
    return [Mount(Path(_unescaped(found[1])), found[2]) for found in words if len(found) > 2]


def mount_of(path: Path, table: str) -> Mount | None:
    """The mount that holds `path`, links followed: the longest that fits, of equals the last, which hides others."""
    real = path.resolve()
    holding = [mount for mount in mounts(table) if real.is_relative_to(mount.point)]
    return max(reversed(holding), key=lambda mount: len(mount.point.parts), default=None)


def refuse_network(path: Path, table: str) -> None:
    """Raises `StoreError` for a path on a network file system."""
    mount = mount_of(path, table)
    if mount is None or not _remote(mount.kind):
        return
    where = f"the database {path} lies on a network file system ({mount.kind} at {mount.point})"
    reason = "where SQLite's locks and the shared memory of its log do not work"
    raise StoreError(f"{where}, {reason}; pass a --db on a local disk, or a postgresql:// URL to share it")


def _remote(kind: str) -> bool:
    return kind in NETWORK or kind.removeprefix("fuse.") in THROUGH_FUSE


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), text)
