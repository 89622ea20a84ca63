"""People logged in, as the host's record of logins (utmp) has them."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil

from monitor.collect.files import Root
from monitor.errors import Absent
from monitor.model import Reading

RECORDS = ("/run/utmp", "/var/run/utmp")
"""Where Linux keeps the record; newer systems have none, and then nobody knows."""


class Users:
    """How many different people are logged in."""

    name = "users"
    interval_seconds = 30.0
    budget_seconds = 0.05

    def __init__(self, root: Root) -> None:
        self.note = ""
        self._is_own = root.is_own

    def collect(self, now: float) -> Reading:
        """Count them.  Raises `Absent` where there is no record of logins to be read."""
        del now
        if not self._is_own:
            raise Absent("logins are read of this machine only, and the root is another")
        if sys.platform == "linux" and not any(Path(path).exists() for path in RECORDS):
            raise Absent("this system keeps no record of logins (utmp)")
        names = {user.name for user in psutil.users()}
        return Reading({"system.users.count": float(len(names))})

    def close(self) -> None:
        """Nothing is kept."""
