"""What is mounted.

Every name finishes the sentence "it must be that …".
"""

from __future__ import annotations

import pytest

from monitor.collect.mounts import Mount, parse
from tests.collect.trees import FIXTURES


def line(mountpoint: str, type_: str = "ext4", number: str = "8:1", **more: str) -> str:
    """One line of mountinfo, upon the root mount unless `parent` says otherwise."""
    words = {"id": "50", "parent": "27", "options": "rw", "device": "/dev/sda1", "super": "rw"}
    words.update(more)
    return (
        f"{words['id']} {words['parent']} {number} / {mountpoint} {words['options']} shared:1"
        f" - {type_} {words['device']} {words['super']}\n"
    )


ROOT = "27 1 8:0 / / rw - ext4 /dev/root rw\n"


def points(*lines: str) -> list[str]:
    return [mount.mountpoint.decode() for mount in parse("".join(lines).encode())]


def test_the_golden_file_gives_these_mounts() -> None:
    mounts = parse((FIXTURES / "server/proc/1/mountinfo").read_bytes())
    assert [(mount.mountpoint, mount.type, mount.remote, mount.read_only) for mount in mounts] == [
        (b"/", "ext4", False, False),
        (b"/media/my disk", "xfs", False, False),
        (b"/mnt/nfs", "nfs4", True, False),
        (b"/mnt/nfs/local", "ext4", True, False),
        (b"/old", "ext4", False, True),
        (b"/pool", "btrfs", False, False),
        (b"/srv/ssh", "fuse.sshfs", True, False),
        (b"/strange", "brandnewfs", False, False),
    ]
    assert mounts[0] == Mount(
        b"/", "8:1", b"/dev/sda1", "ext4", b"rw,relatime", False, False, False
    )
    assert mounts[1].device == b"/dev/mapper/vg-my disk"
    assert mounts[4].device == b"/dev/sdf1"


def test_one_device_is_one_entry_at_its_shortest_path() -> None:
    assert points(line("/a/bind", id="1"), line("/b", id="2"), line("/a", id="3")) == ["/a"]


@pytest.mark.parametrize(
    "type_",
    ["proc", "tmpfs", "overlay", "squashfs", "devtmpfs", "cgroup2", "autofs", "fuse.lxcfs"],
)
def test_what_has_no_storage_of_its_own_is_left_out(type_: str) -> None:
    assert points(line("/x", type_)) == []


def test_read_only_loops_may_be_images_and_written_ones_are_not() -> None:
    image = line("/image", number="7:0", device="/dev/loop0", super="ro")
    disk = line("/disk", number="7:1", device="/dev/loop1", id="51")
    mounts = parse((image + disk).encode())
    assert {mount.mountpoint: mount.may_be_image for mount in mounts} == {
        b"/image": True,
        b"/disk": False,
    }


@pytest.mark.parametrize(
    ("type_", "options", "own", "flipped"),
    [
        ("ext4", "rw,relatime", "rw", False),
        ("ext4", "rw,relatime", "ro,errors=remount-ro", True),
        ("ext4", "rw", "rw,emergency_ro", True),
        ("ext4", "ro,relatime", "ro", False),  # somebody wanted it so
        ("btrfs", "ro", "rw,subvol=/b", False),
        ("hfsplus", "rw", "ro", None),  # it may be so of itself
        ("udf", "rw", "ro", None),
        ("zfs", "rw", "rw", None),
    ],
)
def test_an_error_makes_read_only_what_was_mounted_to_be_written(
    type_: str, options: str, own: str, flipped: bool | None
) -> None:
    (mount,) = parse(line("/x", type_, options=options, super=own).encode())
    assert mount.flipped is flipped


@pytest.mark.parametrize("type_", ["nfs", "cifs", "9p", "ceph", "fuse.sshfs", "virtiofs", "fuse"])
def test_what_waits_for_somebody_is_remote(type_: str) -> None:
    assert parse(line("/x", type_).encode())[0].remote


@pytest.mark.parametrize("type_", ["ext4", "xfs", "btrfs", "zfs", "vfat", "fuseblk"])
def test_what_waits_for_a_disk_is_local(type_: str) -> None:
    assert not parse(line("/x", type_).encode())[0].remote


@pytest.mark.parametrize(
    ("options", "super_options", "read_only"),
    [("rw", "rw", False), ("ro", "rw", True), ("rw", "ro", True), ("rw", "rw,emergency_ro", True)],
)
def test_either_options_make_it_read_only(
    options: str, super_options: str, read_only: bool
) -> None:
    text = line("/x", options=options, super=super_options)
    assert parse(text.encode())[0].read_only is read_only


def test_what_a_later_mount_hides_is_not_seen() -> None:
    below = line("/data/deep", number="8:2", id="60", parent="59")
    under = line("/data", number="8:3", id="59")
    over = line("/data", number="8:4", id="61", parent="59")
    assert points(ROOT, under, below) == ["/", "/data", "/data/deep"]
    mounts = parse((ROOT + under + below + over).encode())
    assert [mount.number for mount in mounts] == ["8:0", "8:4"]


def test_escapes_are_undone_and_odd_bytes_kept() -> None:
    text = line(r"/a\040b\134c\012d").encode().replace(b"/a", b"/\xff\r")
    assert parse(text)[0].mountpoint == b"/\xff\r b\\c\nd"


def test_mounts_that_stand_upon_each_other_in_a_ring_end() -> None:
    ring = line("/x", id="1", parent="2") + line("/x", id="2", parent="1", number="8:9")
    assert points(ring) == []
    assert points(ROOT.replace("27 1", "27 27"), ring) == ["/"]


@pytest.mark.parametrize(
    "text",
    ["1 2 8:1 / /x rw ext4 /dev/sda1 rw", "1 2 8:1 - ext4 a rw", "1 2 8:1 / x rw - ext4 a rw",
     "1 2 8:1 / /x\\000 rw - ext4 a rw", "1 2 8:1 / /x rw - ext4"],
)  # fmt: skip
def test_what_is_not_mountinfo_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="mountinfo"):
        parse(text.encode())


def test_thousands_of_mounts_are_parsed() -> None:
    many = "".join(line(f"/m/{n}", number=f"9:{n}", id=str(100 + n)) for n in range(3000))
    assert len(points(ROOT, many)) == 3001
