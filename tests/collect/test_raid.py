"""Software RAID, from canned replies.  Every name finishes the sentence "it must be that …"."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.collect.files import Root
from monitor.collect.raid import Raid
from monitor.errors import Absent
from monitor.model import SeriesKey

HEALTHY = """Personalities : [raid1] [raid6] [raid5] [raid4] [raid0]
md0 : active raid1 sdb1[1] sda1[0]
      976630336 blocks super 1.2 [2/2] [UU]
      bitmap: 1/8 pages [4KB], 65536KB chunk

unused devices: <none>
"""

TROUBLED = """Personalities : [raid1] [raid6] [raid5] [raid4] [raid0]
md127 : active raid5 sdd1[4] sdc1[2](F) sdb1[1] sda1[0] sde1[5](S)
      1953258496 blocks super 1.2 level 5, 512k chunk, algorithm 2 [4/3] [UU_U]
      [=>...................]  recovery =  8.5% (83032/976630336) finish=9.3min speed=1K/sec

md1 : active (auto-read-only) raid0 sdg1[1] sdf1[0]
      1000 blocks super 1.2 512k chunks

md2 : inactive sdh1[1](S) sdi1[0](S)
      2000 blocks super 1.2

md3 : active raid1 nvme0n1p2[0] nvme1n1p2[1](W)
      100 blocks [2/2] [UU]
        resync=DELAYED

unused devices: <none>
"""


def read(path: Path, content: str) -> dict[str, dict[str, float]]:
    (path / "proc").mkdir(exist_ok=True)
    (path / "proc/mdstat").write_text(content)
    arrays: dict[str, dict[str, float]] = {}
    for text, value in Raid(Root(path)).collect(0.0).values.items():
        found = SeriesKey.parse(text)
        arrays.setdefault(found.get("device"), {})[found.get("state") or "degraded"] = value
    return arrays


def states(required: int, active: int, failed: int, spare: int, degraded: int) -> dict[str, float]:
    return {
        "required": required,
        "active": active,
        "failed": failed,
        "spare": spare,
        "degraded": degraded,
    }


def test_a_whole_array_is_not_degraded(tmp_path: Path) -> None:
    assert read(tmp_path, HEALTHY) == {"md0": states(2, 2, 0, 0, 0)}


def test_failed_spare_inactive_and_plain_members_are_told_apart(tmp_path: Path) -> None:
    assert read(tmp_path, TROUBLED) == {
        "md127": states(4, 3, 1, 1, 1),
        "md1": states(2, 2, 0, 0, 0),
        "md2": states(2, 0, 0, 0, 1),
        "md3": states(2, 2, 0, 0, 0),
    }


@pytest.mark.parametrize(
    "content",
    ["", "Personalities :\nunused devices: <none>\n", "md0 :\n", "\0" * 100, "active : x\n"],
)
def test_no_array_is_absent(tmp_path: Path, content: str) -> None:
    with pytest.raises(Absent):
        read(tmp_path, content)


def test_a_cut_reply_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    for end in range(len(TROUBLED)):
        try:
            read(tmp_path, TROUBLED[:end])
        except Absent:
            assert end < 80


def test_a_kernel_without_raid_is_absent(tmp_path: Path) -> None:
    with pytest.raises(Absent, match="no software RAID"):
        Raid(Root(tmp_path)).collect(0.0)
