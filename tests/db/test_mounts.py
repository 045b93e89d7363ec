"""A SQLite file on a network file system is refused, and nothing else is."""

from pathlib import Path

import pytest

from db import sqlite
from db.errors import StoreError
from db.mounts import TABLE, mount_of, mount_table, mounts, refuse_network
from db.store import open_store

LOCAL = "/dev/sda1 / ext4 rw,relatime 0 0\ntmpfs /tmp tmpfs rw 0 0\nproc /proc proc rw 0 0\n"
NETWORK = [
    *("nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "glusterfs", "fuse.glusterfs"),
    *("ceph", "fuse.ceph", "lustre", "gpfs", "beegfs", "afs"),
]


@pytest.mark.parametrize("kind", NETWORK)
def test_a_network_file_system_is_refused_with_the_reason_and_a_way_out(kind: str) -> None:
    with pytest.raises(StoreError) as caught:
        refuse_network(Path("/mnt/group/runs/glora.db"), LOCAL + f"server:/export /mnt/group {kind} rw 0 0\n")
    for part in ("/mnt/group/runs/glora.db", f"({kind} at /mnt/group)", "locks", "local disk", "postgresql://"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    "kind", ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "9p", "virtiofs", "fuseblk", "fuse"]
)
def test_a_local_one_is_not_nor_a_virtual_machines_own(kind: str) -> None:
    refuse_network(Path("/mnt/group/glora.db"), LOCAL + f"host /mnt/group {kind} rw 0 0\n")


def test_the_longest_mount_counts_and_whole_names_only() -> None:
    table = LOCAL + "a:/ /data nfs rw 0 0\n/dev/sdb1 /data/local xfs rw 0 0\n"
    refuse_network(Path("/data/local/glora.db"), table)
    refuse_network(Path("/data2/glora.db"), table)
    with pytest.raises(StoreError):
        refuse_network(Path("/data/localhost/glora.db"), table)


def test_the_last_mount_on_a_point_hides_the_others() -> None:
    automatic = LOCAL + "auto /net autofs rw 0 0\nserver:/ /net nfs4 rw 0 0\n"
    assert mount_of(Path("/net/glora.db"), automatic).kind == "nfs4"


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "share").mkdir()
    (tmp_path / "near").symlink_to(tmp_path / "share")
    with pytest.raises(StoreError):
        refuse_network(tmp_path / "near" / "glora.db", LOCAL + f"a:/ {tmp_path}/share nfs rw 0 0\n")


def test_a_blank_in_a_mount_point_is_read() -> None:
    assert mounts("a:/ /mnt/my\\040share cifs rw 0 0\nnonsense\n")[0].point == Path("/mnt/my share")


def test_without_a_mount_table_nothing_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("db.mounts.TABLE", tmp_path / "none")
    assert mount_table() == ""
    refuse_network(Path("/anywhere"), "")


@pytest.mark.skipif(not TABLE.exists(), reason="this system has no /proc/mounts")
def test_this_machines_own_mounts_are_read() -> None:
    assert mount_of(Path("/"), mount_table()) is not None


@pytest.mark.parametrize("create", [True, False])
def test_opening_asks_where_the_file_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, create: bool) -> None:
    monkeypatch.setattr(sqlite, "mount_table", lambda: f"server:/export {tmp_path} nfs4 rw 0 0\n")
    with pytest.raises(StoreError, match=r"network file system \(nfs4"):
        open_store(str(tmp_path / "glora.db"), create)
    assert list(tmp_path.iterdir()) == []
