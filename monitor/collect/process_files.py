"""One process and its files: /proc/PID/stat, io, schedstat, status and cmdline.

``stat`` and ``io`` are read every tick and their descriptors kept where the bound allows.  Of a
process of one thread that sleeps ``schedstat`` tells at a quarter of the price that it has not
run.  A descriptor belongs to the process and not to its number: once the process has ended,
reading it fails, whoever has the number now.  A start time tells two processes of one number
apart where nothing was kept.
"""

from __future__ import annotations

import contextlib
import os
from os import pread

from monitor.collect.secrets import command_line, escape

STAT_BYTES = 2_048
"""One stat line is shorter."""

SCHED_BYTES = 80
"""Three numbers of 64 bits are shorter."""

COMMAND_BYTES = 4_097
"""One byte more than is looked at, so that a longer command line shows as cut."""

KERNEL_THREAD = 0x0020_0000
"""PF_KTHREAD of the kernel's include/linux/sched.h."""

IDLE_IO_TICKS = 5
"""A process that has not run since the last tick has its io read every so many ticks only."""

NEVER_RAN = b"0 0 0\n"
"""What schedstat says of a process that never ran, and of all where the kernel does not count."""

IDENTITY_SECONDS = 30.0
"""How often user and command line are read anew: programs change their titles."""

LARGEST = 2**64
"""No number of the kernel's is larger."""

_KERNEL_STATES = {
    b"R": "running",
    b"S": "sleeping",
    b"D": "blocked",
    b"T": "stopped",
    b"t": "stopped",
    b"Z": "zombie",
    b"I": "idle",
}


class KeptDescriptors:
    """Counts the descriptors kept, and says whether one more may be."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.count = 0

    def take(self) -> bool:
        """Count one more in, if there is room."""
        if self.count >= self.limit:
            return False
        self.count += 1
        return True

    def give_back(self, descriptor: int) -> None:
        """Close a kept descriptor."""
        self.count -= 1
        with contextlib.suppress(OSError):
            os.close(descriptor)


class ProcessFile:
    """One file of a process, kept open where there is room."""

    __slots__ = ("_kept", "_most_bytes", "descriptor", "path")

    def __init__(self, path: str, kept: KeptDescriptors, most_bytes: int = STAT_BYTES) -> None:
        self.path = path
        self._most_bytes = most_bytes
        self._kept = kept
        self.descriptor = -1
        """Negative where it is not kept; for who reads so often that a call more counts."""

    @property
    def may_be_kept(self) -> bool:
        """Whether it is kept open, or there is room."""
        return self.descriptor >= 0 or self._kept.count < self._kept.limit

    def read(self) -> bytes:
        """The present content.  Raises `OSError`, `ProcessLookupError` once it has ended."""
        if self.descriptor >= 0:
            return os.pread(self.descriptor, self._most_bytes, 0)
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            content = os.pread(descriptor, self._most_bytes, 0)
        except OSError:
            os.close(descriptor)
            raise
        if self._kept.take():
            self.descriptor = descriptor
        else:
            os.close(descriptor)
        return content

    def close(self) -> None:
        """Give the descriptor back; the next read opens the file anew."""
        if self.descriptor >= 0:
            self._kept.give_back(self.descriptor)
            self.descriptor = -1


class Process:
    """What is known of one process: the last reading, and what it did since the one before."""

    __slots__ = (
        *(
            "_command_at",
            "_command_raw",
            "_directory",
            "_io",
            "_io_at",
            "_io_raw",
            "_io_total",
            "_stat",
        ),
        *("_stat_at", "_stat_raw", "_ticks", "command", "cpu", "io", "io_hidden", "is_kernel"),
        *("_io_wait", "_is_calm", "_is_single", "_sched", "_sched_raw", "name", "pid"),
        *("rss_pages", "start", "state", "uid"),
    )

    def __init__(
        self,
        directory: str,
        pid: int,
        kept_stat: KeptDescriptors,
        kept_io: KeptDescriptors,
        kept_sched: KeptDescriptors,
    ) -> None:
        self._directory = directory
        self.pid = pid
        self._stat = ProcessFile(f"{directory}/stat", kept_stat)
        self._io = ProcessFile(f"{directory}/io", kept_io)
        self._sched = ProcessFile(f"{directory}/schedstat", kept_sched, SCHED_BYTES)
        self._forget()

    def _forget(self) -> None:
        """It may be another process of the same number: nothing known of it holds."""
        self.start = b""
        self.name = ""
        self.state = ""
        self.is_kernel = False
        self.cpu: float | None = None
        """Cores used since the reading before; none at the first."""
        self.rss_pages = 0
        self.io: float | None = None
        """Bytes a second read and written; none at the first and where it is hidden."""
        self.io_hidden = False
        self.uid: int | None = None
        self.command = ""
        self._command_raw = b""
        self._stat_raw = b""
        self._stat_at = 0.0
        self._ticks = -1
        self._io_raw = b""
        self._io_at = 0.0
        self._io_total = -1
        self._io_wait = 0
        self._is_single = False
        self._is_calm = False
        self._sched_raw = b""
        self._command_at: float | None = None

    def read(self, moment: float, ticks_per_second: int, *, whole: bool = True) -> bool:
        """Read it at `moment` (monotonic seconds); False where the process has ended.

        Every process is read each tick, so that what it costs is what this costs.  Unless `whole`
        one that has not run is left as it was: only its memory may have become less.
        """
        if self._is_calm and self._has_not_run() and not whole:
            self.cpu = 0.0
            self._stat_at = moment
            self._io_wait -= 1
            if not self.io_hidden:
                self.io = 0.0
            return True
        descriptor = self._stat.descriptor
        try:
            raw = pread(descriptor, STAT_BYTES, 0) if descriptor >= 0 else self._stat.read()
        except OSError:
            # The descriptor kept is of a process that has ended; its number may be used again.
            self.close()
            try:
                raw = self._stat.read()
            except OSError:
                return False
        if raw == self._stat_raw and raw:
            # Most processes sleep: their line is the same to the byte.
            self.cpu = 0.0
            self._stat_at = moment
            self._io_wait -= 1
            self._is_calm = self._is_single and (self._is_calm or self._sched.may_be_kept)
            if self._io_wait > 0 and not self.io_hidden:
                self.io = 0.0
                return True
        elif not self._take_stat(raw, moment, ticks_per_second):
            return False
        if not self.io_hidden:
            self._read_io(moment)
        return True

    def _has_not_run(self) -> bool:
        """Whether it has not run since this was asked last."""
        descriptor = self._sched.descriptor
        try:
            raw = pread(descriptor, SCHED_BYTES, 0) if descriptor >= 0 else self._sched.read()
        except OSError:
            self._sched.close()
            self._is_single = self._is_calm = False
            self._sched_raw = b""
            return False
        before, self._sched_raw = self._sched_raw, raw
        return raw == before and raw != NEVER_RAN

    def _take_stat(self, raw: bytes, moment: float, ticks_per_second: int) -> bool:
        end = raw.rfind(b")")
        fields = raw[end + 2 :].split(None, 22)
        if end < 0 or len(fields) < 22:
            return False
        try:
            ticks, pages = int(fields[11]) + int(fields[12]), int(fields[21])
            flags = int(fields[6])
        except ValueError:
            return False
        if max(ticks, pages) > LARGEST:
            return False
        if fields[19] != self.start:
            self._io.close()
            self._sched.close()
            self._forget()
            self.start = fields[19]
        elapsed = moment - self._stat_at
        if self._ticks >= 0 and elapsed > 0:
            self.cpu = max(0, ticks - self._ticks) / ticks_per_second / elapsed
        if raw[: end + 1] != self._stat_raw[: end + 1]:
            found = raw[raw.find(b"(") + 1 : end]
            self.name = escape(found.decode(errors="backslashreplace"))
        self.state = _KERNEL_STATES.get(fields[0], "")
        self.rss_pages = max(0, pages)
        self.is_kernel = bool(flags & KERNEL_THREAD)
        self._is_single, self._is_calm = fields[17] == b"1", False
        self._stat_raw, self._stat_at, self._ticks = raw, moment, ticks
        self._io_wait = 0
        return True

    def _read_io(self, moment: float) -> None:
        """Read what it read and wrote.  What permissions hide is tried once in its life."""
        # Spread by number, so that sleepers do not all have their turn in one tick.
        self._io_wait = IDLE_IO_TICKS - (self.pid % IDLE_IO_TICKS if self._io_total < 0 else 0)
        try:
            raw = self._io.read()
        except PermissionError:
            self.io_hidden = True
            self.io = None
            self._io.close()
            return
        except OSError:
            self._io.close()
            self.io = None
            return
        if raw and raw == self._io_raw:
            self.io = 0.0
            self._io_at = moment
            return
        fields = raw.split()
        try:
            total = int(fields[9]) + int(fields[11])
        except (IndexError, ValueError):
            total = LARGEST + 1
        if total > LARGEST:
            self.io = None
            return
        elapsed = moment - self._io_at
        if self._io_total >= 0 and elapsed > 0:
            self.io = max(0, total - self._io_total) / elapsed
        self._io_raw, self._io_at, self._io_total = raw, moment, total

    def read_identity(self, moment: float, *, command_line_wanted: bool) -> None:
        """Read whose it is and how it was called, now and then."""
        if self._command_at is not None and moment - self._command_at < IDENTITY_SECONDS:
            return
        if command_line_wanted and self.state == "blocked":
            # Its command line is in its own memory, and reading that waits as long as it does
            # where it is stuck with its memory's lock in hand: this is how ps hangs.
            self.command = self.command or f"[{self.name}]"
            return
        # Spread by number, so that what is first seen in one tick is not read anew in one.
        self._command_at = moment - (self.pid % 16 if self._command_at is None else 0)
        self.uid = self._effective_uid()
        if not command_line_wanted:
            return
        raw = b"" if self.is_kernel else _read_up_to(f"{self._directory}/cmdline", COMMAND_BYTES)
        if raw and raw == self._command_raw:
            return  # looking for secrets costs more than reading
        self._command_raw = raw
        # Kernel threads and zombies have no command line: ps writes their names in brackets.
        self.command = command_line(raw) if raw.strip(b"\0") else f"[{self.name}]"

    def _effective_uid(self) -> int | None:
        status = _read_up_to(f"{self._directory}/status", STAT_BYTES)
        at = status.find(b"\nUid:")
        fields = status[at + 5 : at + 100].split(None, 2) if at >= 0 else []
        return int(fields[1]) if len(fields) > 1 and fields[1].isdigit() else None

    def close(self) -> None:
        """Give the descriptors back."""
        self._stat.close()
        self._io.close()
        self._sched.close()


def _read_up_to(path: str, most_bytes: int) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(descriptor, most_bytes)
    except OSError:
        return b""
    finally:
        os.close(descriptor)
