"""People logged in.  Every name finishes the sentence "it must be that …"."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from monitor.collect.files import Root
from monitor.collect.users import ENTRY_BYTES, WIDE_ENTRY_BYTES, Users, people
from monitor.errors import Absent


def _entry(kind: int, name: str, size: int = ENTRY_BYTES) -> bytes:
    head = struct.pack("=h2xi32s4s32s", kind, 1234, b"pts/0", b"ts/0", name.encode())
    return head.ljust(size, b"\xff")


@pytest.mark.parametrize("size", [ENTRY_BYTES, WIDE_ENTRY_BYTES])
def test_each_person_counts_once_and_only_while_logged_in(size: int) -> None:
    record = b"".join(
        _entry(kind, name, size)
        for kind, name in [(2, "reboot"), (7, "ann"), (7, "bob"), (7, "ann"), (8, "eve"), (7, "")]
    )
    assert people(record, size) == {b"ann", b"bob"}
    assert people(record + _entry(7, "cut", size)[:-1], size) == {b"ann", b"bob"}


def test_the_record_is_the_roots(tmp_path: Path) -> None:
    with pytest.raises(Absent, match="no record"):
        Users(Root(tmp_path)).collect(0.0)
    (tmp_path / "run").mkdir()
    (tmp_path / "run/utmp").write_bytes(b"")
    collector = Users(Root(tmp_path))
    assert collector.collect(0.0).values == {"system.users.count": 0.0}
    collector.close()
