"""The clock, as the kernel's time discipline sees it: adjtimex(2), read only.

It asks the kernel and no time daemon, so that chrony, ntpd and systemd-timesyncd all count.
A container shares its host's clock: the root makes no difference.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys

from monitor.collect.files import Root
from monitor.errors import Absent
from monitor.model import Reading

UNSYNCHRONIZED = 0x0040
"""STA_UNSYNC of the kernel's include/uapi/linux/timex.h."""

NANOSECONDS = 0x2000
"""STA_NANO: the offset is in nanoseconds and not in microseconds."""


class Timex(ctypes.Structure):
    """``struct timex`` of a 64-bit Linux, with room to spare behind it."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("frequency", ctypes.c_long),
        ("max_error", ctypes.c_long),
        ("estimated_error", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


class Clock:
    """Whether the clock is kept by a time source, and how far it may be off."""

    name = "clock"
    interval_seconds = 10.0
    budget_seconds = 0.05

    def __init__(self, root: Root) -> None:
        del root
        self.note = ""

    def collect(self, now: float) -> Reading:
        """Ask the kernel.  Raises `Absent` where it cannot be asked."""
        del now
        return Reading(values(ask()))

    def close(self) -> None:
        """Nothing is kept."""


def ask() -> Timex:
    """The kernel's answer; nothing is changed.  Raises `Absent` or `OSError`."""
    if sys.platform != "linux" or ctypes.sizeof(ctypes.c_long) != 8:
        raise Absent("the clock's state is read on 64-bit Linux only")
    found = Timex()
    call = getattr(ctypes.CDLL(None, use_errno=True), "adjtimex", None)
    if call is None:
        raise Absent("this system's C library has no adjtimex")
    if call(ctypes.byref(found)) < 0:
        number = ctypes.get_errno()
        if number in (errno.EPERM, errno.EACCES, errno.ENOSYS):
            raise Absent("no permission to ask for the clock's state")
        raise OSError(number, os.strerror(number))
    return found


def values(found: Timex) -> dict[str, float]:
    """The metrics of one answer, in seconds."""
    scale = 1e-9 if found.status & NANOSECONDS else 1e-6
    return {
        "system.clock.synchronized": 0.0 if found.status & UNSYNCHRONIZED else 1.0,
        "system.clock.offset": found.offset * scale,
        "system.clock.max_error": found.max_error * 1e-6,
    }
