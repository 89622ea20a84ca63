"""Names of users.  Every name finishes the sentence "it must be that …"."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from monitor.collect import accounts
from monitor.collect.accounts import Accounts
from monitor.collect.files import Root


def below(path: Path, content: bytes) -> Accounts:
    """Accounts of a host whose passwd file this is."""
    (path / "etc").mkdir(exist_ok=True)
    (path / "etc/passwd").write_bytes(content)
    found = Accounts(Root(path))
    found.refresh()
    return found


def test_the_hosts_own_file_counts_and_not_the_readers(tmp_path: Path) -> None:
    found = below(tmp_path, b"captain:x:0:0::/:/bin/sh\nann:x:7:7:::\n")
    assert [found.name(uid) for uid in (0, 7, 8)] == ["captain", "ann", "8"]


def test_the_first_of_two_names_counts_and_lines_that_are_none_are_skipped(tmp_path: Path) -> None:
    found = below(
        tmp_path, b"\nx\n:x:1:1:\na:x:-1:1:\na:x:99999999999:1:\nb:x:2:2:\nc:x:2:2:\n+::::\n"
    )
    assert [found.name(uid) for uid in (1, 2, -1)] == ["1", "b", "-1"]


def test_a_name_cannot_break_a_line_and_is_bounded(tmp_path: Path) -> None:
    found = below(tmp_path, b"e\x1b[31m\xff:x:1:1:\n" + b"n" * 5000 + b":x:2:2:\n")
    assert found.name(1) == r"e\x1b[31m\xff"
    assert len(found.name(2)) == accounts.LONGEST_NAME


def test_no_more_names_than_the_bound_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "MOST_NAMES", 3)
    found = below(tmp_path, b"".join(b"u%d:x:%d:0:\n" % (uid, uid) for uid in range(9)))
    assert [found.name(uid) for uid in range(9)] == [
        *("u0", "u1", "u2"),
        *(str(uid) for uid in range(3, 9)),
    ]
    assert len(found._asked) <= 3


def test_a_missing_file_leaves_numbers(tmp_path: Path) -> None:
    found = Accounts(Root(tmp_path))
    found.refresh()
    assert found.name(0) == "0"


def test_this_machine_is_asked_where_the_file_does_not_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = Accounts(Root(Path("/")))
    assert found.name(os.getuid()) == pwd.getpwuid(os.getuid()).pw_name

    def unknown(uid: int) -> pwd.struct_passwd:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert found.name(4_000_000_001) == "4000000001"
