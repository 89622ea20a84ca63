"""People logged in.  Every name finishes the sentence "it must be that …"."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from monitor.collect import users
from monitor.collect.files import Root
from monitor.collect.users import Users
from monitor.errors import Absent


def test_each_person_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    people = [SimpleNamespace(name=name) for name in ("ann", "bob", "ann")]
    monkeypatch.setattr(psutil, "users", lambda: people)
    monkeypatch.setattr(users, "RECORDS", ("/",))
    collector = Users(Root(Path("/")))
    assert collector.collect(0.0).values == {"system.users.count": 2.0}
    collector.close()


def test_no_record_and_another_root_are_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Absent, match="this machine only"):
        Users(Root(tmp_path)).collect(0.0)
    monkeypatch.setattr(users, "RECORDS", (str(tmp_path / "utmp"),))
    with pytest.raises(Absent, match="no record"):
        Users(Root(Path("/"))).collect(0.0)
