"""Control groups, from a hierarchy of our own.

Every name finishes the sentence "it must be that …".
"""

from __future__ import annotations

import math
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.collect import cgroup_units, cgroups
from monitor.collect.cgroup_units import unit_name
from monitor.collect.cgroups import Cgroups
from monitor.collect.files import Root
from monitor.errors import Absent

HEX = "0123456789abcdef" * 4
POD = "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod12345678.slice"

FILES = {
    "cpu.stat": "usage_usec 5000000\nuser_usec 1\nsystem_usec 1\nnr_periods 9\nnr_throttled 3\n"
    "throttled_usec 250000\n",
    "memory.current": "1000\n",
    "memory.max": "4000\n",
    "memory.events": "low 0\nhigh 0\nmax 0\noom 2\noom_kill 1\noom_group_kill 0\n",
    "io.stat": "8:0 rbytes=100 wbytes=7 rios=1 wios=1 dbytes=0 dios=0\n8:16 rbytes=11 wbytes=1\n",
    "pids.current": "5\n",
    "pids.max": "20\n",
}


def make(root: Path, path: str, **changed: str | None) -> None:
    """A group with its files, some of them other or missing."""
    directory = root / "sys/fs/cgroup" / path
    directory.mkdir(parents=True, exist_ok=True)
    files: dict[str, str | None] = {**FILES}
    files.update({name.replace("_", "."): content for name, content in changed.items()})
    for name, content in files.items():
        if content is not None:
            (directory / name).write_text(content)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    top = tmp_path / "sys/fs/cgroup"
    top.mkdir(parents=True)
    (top / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    return tmp_path


@pytest.fixture
def collector(root: Path) -> Iterator[Cgroups]:
    found = Cgroups(Root(root))
    yield found
    found.close()


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/system.slice/ssh.service", "ssh.service"),
        ("/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service"),
        (f"/system.slice/docker-{HEX}.scope", "docker-0123456789ab"),
        (f"/docker/{HEX}", "docker-0123456789ab"),
        (f"/machine.slice/libpod-{HEX}.scope", "libpod-0123456789ab"),
        (f"/libpod_parent/{HEX}", "libpod-0123456789ab"),
        (f"/{POD}/cri-containerd-{HEX}.scope", "cri-containerd-0123456789ab"),
        (f"/{POD}/crio-{HEX}.scope", "crio-0123456789ab"),
        (f"/kubepods/besteffort/pod1/{HEX}", "cri-0123456789ab"),
        (f"/elsewhere/{HEX}", "container-0123456789ab"),
        ("/machine.slice/machine-qemu1.scope", "machine-qemu1.scope"),
        ("/user.slice/user-1000.slice", "user-1000.slice"),
        ("/lxc/web", "lxc-web"),
        ("/lxc.payload.web", "lxc-web"),
        ("/system.slice", None),
        ("/kubepods.slice", None),
        ("/init.scope", None),
        (f"/system.slice/docker-{HEX[:-1]}.scope", None),
        ("/user.slice", None),
    ],
)
def test_units_have_the_names_that_people_know(path: str, name: str | None) -> None:
    assert unit_name(path) == name


def test_a_unit_has_every_number(root: Path, collector: Cgroups) -> None:
    make(root, "system.slice/web.service")
    found = collector.collect(0.0)
    assert found.values == {
        'cgroup.cpu.time{unit="web.service"}': 5.0,
        'cgroup.cpu.throttled_time{unit="web.service"}': 0.25,
        'cgroup.cpu.throttled_periods{unit="web.service"}': 3.0,
        'cgroup.memory.usage{unit="web.service"}': 1000.0,
        'cgroup.memory.limit{unit="web.service"}': 4000.0,
        'cgroup.memory.utilization{unit="web.service"}': 0.25,
        'cgroup.memory.oom_kills{unit="web.service"}': 1.0,
        'cgroup.disk.io{direction="read",unit="web.service"}': 111.0,
        'cgroup.disk.io{direction="write",unit="web.service"}': 8.0,
        'cgroup.pids.count{unit="web.service"}': 5.0,
        'cgroup.pids.limit{unit="web.service"}': 20.0,
        "system.cgroups.pids.utilization": 0.25,
        "system.cgroups.count": 1.0,
    }


def test_no_limit_and_no_controller_are_nan(root: Path, collector: Cgroups) -> None:
    make(root, "system.slice/a.service", memory_max="max\n", pids_max="max\n", io_stat="")
    make(root, "system.slice/b.service", **dict.fromkeys(n.replace(".", "_") for n in FILES))
    values = collector.collect(0.0).values
    assert math.isnan(values['cgroup.memory.limit{unit="a.service"}'])
    assert math.isnan(values['cgroup.memory.utilization{unit="a.service"}'])
    assert values['cgroup.disk.io{direction="read",unit="a.service"}'] == 0.0
    assert math.isnan(values["system.cgroups.pids.utilization"])
    bare = [value for text, value in values.items() if "b.service" in text]
    assert len(bare) == 11
    assert all(map(math.isnan, bare))


def test_the_table_has_rates_of_the_time_between(root: Path, collector: Cgroups) -> None:
    make(root, "system.slice/web.service")
    first = collector.collect(0.0).snapshots["cgroups"][0]
    assert (first["cpu"], first["io"], first["throttled"]) == (None, None, None)
    assert (first["unit"], first["path"]) == ("web.service", "/system.slice/web.service")
    assert (first["memory"], first["memory_limit"], first["pids"]) == (1000.0, 4000.0, 5.0)
    began = time.monotonic()
    time.sleep(0.1)
    make(
        root,
        "system.slice/web.service",
        cpu_stat="usage_usec 6000000\nthrottled_usec 350000\nnr_throttled 4\n",
        io_stat="8:0 rbytes=1111 wbytes=8\n",
    )
    second = collector.collect(5.0).snapshots["cgroups"][0]
    elapsed = time.monotonic() - began
    assert second["cpu"] == pytest.approx(1.0 / elapsed, rel=0.2)
    assert second["throttled"] == pytest.approx(0.1 / elapsed, rel=0.2)
    assert second["io"] == pytest.approx(1000 / elapsed, rel=0.2)


def test_a_unit_that_ended_is_nan_until_the_next_listing(root: Path, collector: Cgroups) -> None:
    make(root, "system.slice/a.service")
    make(root, "system.slice/b.service")
    assert collector.collect(0.0).values["system.cgroups.count"] == 2.0
    gone = root / "sys/fs/cgroup/system.slice/b.service"
    for name in FILES:
        (gone / name).unlink()
    gone.rmdir()
    make(root, "system.slice/c.service")
    collector.collect(10.0)
    later = collector.collect(31.0)
    assert [row["unit"] for row in later.snapshots["cgroups"]] == ["a.service", "c.service"]


def test_a_unit_is_not_split_into_what_it_makes_inside_itself(
    root: Path, collector: Cgroups
) -> None:
    make(root, f"system.slice/docker-{HEX}.scope/init.service")
    make(root, "user.slice/user-1000.slice/user@1000.service/app.slice/x.service")
    found = collector.collect(0.0)
    names = [row["unit"] for row in found.snapshots["cgroups"]]
    assert names == ["docker-0123456789ab", "user-1000.slice"]


def test_two_units_of_one_name_are_told_apart(root: Path, collector: Cgroups) -> None:
    make(root, "system.slice/a.service")
    make(root, "other.slice/a.service")
    found = collector.collect(0.0)
    assert {row["unit"] for row in found.snapshots["cgroups"]} == {
        "a.service",
        "system.slice/a.service",
    }


def test_there_are_never_more_units_than_the_bound(
    root: Path, collector: Cgroups, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cgroups, "MOST_UNITS", 3)
    for number in range(5):
        make(root, f"system.slice/s{number}.service")
    found = collector.collect(0.0)
    assert [row["unit"] for row in found.snapshots["cgroups"]] == [
        *("s0.service", "s1.service", "s2.service")
    ]
    assert found.values["system.cgroups.count"] == 5.0
    assert collector.note == "2 control groups have no series"


def test_a_deep_or_wide_hierarchy_is_cut(
    root: Path, collector: Cgroups, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(root, "a/b/c/d/e/f/g/deep.service")
    make(root, "a/b/c/d/e/near.service")
    found = collector.collect(0.0)
    assert [row["unit"] for row in found.snapshots["cgroups"]] == ["near.service"]
    monkeypatch.setattr(cgroup_units, "MOST_DIRECTORIES", 2)
    collector.collect(60.0)
    assert "too large" in collector.note


def test_kept_descriptors_stay_below_their_share(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (160, 160))
    for number in range(5):
        make(root, f"system.slice/s{number}.service")
    before = sum(1 for _ in Path("/proc/self/fd").iterdir())
    collector = Cgroups(Root(root))
    for now in range(3):
        collector.collect(float(now))
        assert sum(1 for _ in Path("/proc/self/fd").iterdir()) - before == 10
    collector.close()
    assert sum(1 for _ in Path("/proc/self/fd").iterdir()) == before


@pytest.mark.parametrize(
    "content", ["", "x\n", "9" * 400, "usage_usec\n", "\0", "-1\n", "rbytes=x"]
)
def test_nonsense_is_nan_and_no_failure(root: Path, content: str) -> None:
    make(root, "system.slice/a.service", **{n.replace(".", "_"): content for n in FILES})
    values = Cgroups(Root(root)).collect(0.0).values
    assert math.isnan(values['cgroup.memory.usage{unit="a.service"}'])
    assert math.isnan(values['cgroup.cpu.time{unit="a.service"}'])


def test_hybrid_and_missing_hierarchies_are_absent_and_say_why(tmp_path: Path) -> None:
    collector = Cgroups(Root(tmp_path))
    with pytest.raises(Absent, match="not mounted"):
        collector.collect(0.0)
    unified = tmp_path / "sys/fs/cgroup/unified"
    unified.mkdir(parents=True)
    (unified / "cgroup.controllers").write_text("\n")
    with pytest.raises(Absent, match="no controllers"):
        collector.collect(1.0)
    (unified / "cgroup.controllers").write_text("memory\n")
    assert collector.collect(2.0).values["system.cgroups.count"] == 0.0
