"""What holds for every collector of a plain system subject.

Every name finishes the sentence "it must be that …".
"""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.collect.conntrack import Conntrack
from monitor.collect.cpu import Cpu
from monitor.collect.descriptors import Descriptors
from monitor.collect.disk import Disk
from monitor.collect.files import Root
from monitor.collect.filesystem import Filesystem, RemoteFilesystem
from monitor.collect.frequency import Frequency
from monitor.collect.load import Load
from monitor.collect.memory import Memory
from monitor.collect.network import Network
from monitor.collect.paging import Paging
from monitor.collect.pressure import Pressure
from monitor.collect.sockets import Sockets
from monitor.collect.softnet import Softnet
from monitor.core.catalog import CATALOG
from monitor.errors import Absent
from monitor.model import SeriesKey
from monitor.ports import Collector
from tests.collect.trees import assert_keys_hold, golden, own, plant

Make = Callable[[Root], Collector]

SUBJECTS: dict[str, tuple[Make, str]] = {
    "conntrack": (Conntrack, "proc/1/net/stat/nf_conntrack"),
    "cpu": (Cpu, "proc/stat"),
    "descriptors": (Descriptors, "proc/sys/fs/file-nr"),
    "disk": (Disk, "proc/diskstats"),
    "filesystem": (Filesystem, "proc/1/mountinfo"),
    "filesystem_remote": (RemoteFilesystem, "proc/1/mountinfo"),
    "frequency": (Frequency, "proc/cpuinfo"),
    "load": (Load, "proc/loadavg"),
    "memory": (Memory, "proc/meminfo"),
    "network": (Network, "proc/1/net/dev"),
    "paging": (Paging, "proc/vmstat"),
    "pressure": (Pressure, "proc/pressure/io"),
    "sockets": (Sockets, "proc/1/net/snmp"),
    "softnet": (Softnet, "proc/1/net/softnet_stat"),
}
"""Each collector by its name, and the file that it cannot do without."""

EMPTY_IS_HARMLESS = {"filesystem", "filesystem_remote", "disk", "frequency", "sockets", "pressure"}
"""Those whose file may be empty: there are no mounts, no disks, and so on."""


@pytest.fixture(params=SUBJECTS)
def subject(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_name_is_the_subjects_and_times_are_set(subject: str, tmp_path: Path) -> None:
    collector = SUBJECTS[subject][0](Root(tmp_path))
    assert collector.name == subject
    assert collector.interval_seconds >= 0
    assert collector.budget_seconds > 0
    assert getattr(collector, "note", None) == ""
    collector.close()


def test_an_empty_root_makes_it_absent_with_a_reason(subject: str, tmp_path: Path) -> None:
    collector = SUBJECTS[subject][0](Root(tmp_path))
    with pytest.raises(Absent, match=r"\w{2,}"):
        collector.collect(1.0)
    collector.close()


def test_what_permissions_hide_is_absent_and_said_so(
    subject: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str, flags: int) -> int:
        raise PermissionError(errno.EACCES, "permission denied", path)

    collector = SUBJECTS[subject][0](golden(tmp_path))
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(Absent, match="no permission to read"):
        collector.collect(1.0)
    monkeypatch.undo()
    assert collector.collect(2.0).values
    collector.close()


def test_every_name_and_attribute_is_in_the_catalog(subject: str, tmp_path: Path) -> None:
    collector = SUBJECTS[subject][0](golden(tmp_path))
    values = collector.collect(1.0).values
    assert values
    assert_keys_hold(values)
    for text in values:
        series = SeriesKey.parse(text)
        assert series.name in CATALOG, text
        assert {name for name, _ in series.attributes} <= set(CATALOG[series.name].attributes), text
    collector.close()


def test_keys_keep_their_order_and_are_not_built_again(subject: str, tmp_path: Path) -> None:
    collector = SUBJECTS[subject][0](golden(tmp_path))
    first, second = (list(collector.collect(now).values) for now in (1.0, 2.0))
    assert first == second
    assert all(a is b for a, b in zip(first, second, strict=True))
    collector.close()


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\n",
        b"garbage\n",
        b"\x00\xff" * 500,
        b"a" * 200_000,
        b"9" * 5000 + b"\n",
        b"- - - - - - - - - - - - - - - - - -\n",
        b"cpu  -1 x\nMemTotal: lots kB\npgfault many\n",
    ],
    ids=["empty", "newline", "word", "binary", "long line", "long number", "dashes", "near"],
)
def test_garbage_is_a_plain_error_or_nothing(subject: str, garbage: bytes, tmp_path: Path) -> None:
    make, path = SUBJECTS[subject]
    collector = make(plant(tmp_path, {path: garbage, "proc/cpuinfo": garbage}))
    try:
        values = collector.collect(1.0).values
    except (ValueError, Absent):
        pass
    else:
        assert subject in EMPTY_IS_HARMLESS
        assert_keys_hold(values)
    collector.close()


@given(data=st.binary(max_size=400), cut=st.integers(0, 2000))
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_golden_file_with_bytes_put_in_makes_no_broken_key(
    subject: str, data: bytes, cut: int, tmp_path: Path
) -> None:
    make, path = SUBJECTS[subject]
    root = Root(tmp_path) if (tmp_path / path).exists() else golden(tmp_path)
    whole = (tmp_path / path).read_bytes()
    cut %= len(whole)
    plant(tmp_path, {path: whole[:cut] + data + whole[cut:]})
    collector = make(root)
    try:
        values = collector.collect(1.0).values
    except (ValueError, Absent):
        values = {}
    for text, value in values.items():
        assert str(SeriesKey.parse(text)) == text
        assert not math.isinf(value)
    collector.close()
    plant(tmp_path, {path: whole})


def test_this_machine_is_read_or_says_what_it_has_not(subject: str) -> None:
    collector = SUBJECTS[subject][0](own())
    try:
        values = collector.collect(1.0).values
    except Absent as absent:
        assert str(absent)  # noqa: PT017 - whether it is absent here is the machine's matter
    else:
        assert_keys_hold(values)
    collector.close()
    collector.close()
