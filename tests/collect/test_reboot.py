"""Reboots waited for.  Every name finishes the sentence "it must be that …"."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.collect.files import Root
from monitor.collect.reboot import Reboot
from monitor.errors import Absent


@pytest.mark.parametrize("mark", ["run", "var/run"])
def test_the_mark_says_whether_a_reboot_is_required(tmp_path: Path, mark: str) -> None:
    collector = Reboot(Root(tmp_path))
    with pytest.raises(Absent):
        collector.collect(0.0)
    (tmp_path / "var/lib/dpkg").mkdir(parents=True)
    (tmp_path / mark).mkdir(parents=True)
    assert collector.collect(0.0).values == {"system.reboot_required": 0.0}
    (tmp_path / mark / "reboot-required").touch()
    assert collector.collect(0.0).values == {"system.reboot_required": 1.0}
    collector.close()
