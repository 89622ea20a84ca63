"""Whether updates wait for a reboot: the mark that Debian's and Ubuntu's packages leave."""

from __future__ import annotations

from pathlib import Path

from monitor.collect.files import Root
from monitor.errors import Absent
from monitor.model import Reading

MARKS = ("/run/reboot-required", "/var/run/reboot-required")
"""Either path; on most systems they are one."""


class Reboot:
    """1 where a package asks for a reboot."""

    name = "reboot"
    interval_seconds = 60.0
    budget_seconds = 0.05

    def __init__(self, root: Root) -> None:
        self.note = ""
        self._packages = Path(root.file("/var/lib/dpkg"))
        self._marks = [Path(root.file(mark)) for mark in MARKS]

    def collect(self, now: float) -> Reading:
        """Look for the mark.  Raises `Absent` where no package manager would leave one."""
        del now
        if not self._packages.is_dir():
            raise Absent("only Debian's and Ubuntu's packages say that a reboot is required")
        required = any(mark.exists() for mark in self._marks)
        return Reading({"system.reboot_required": float(required)})

    def close(self) -> None:
        """Nothing is kept."""
