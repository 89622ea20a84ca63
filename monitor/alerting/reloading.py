"""Reads the configuration anew while the server runs: all of it holds, or nothing of it.

It happens on SIGHUP, when a file or its folder changes, or when somebody asks.  What is taken over
and how is given to it as functions; it knows who asked, what is different, what was wrong, and
tells the log.  A bad file leaves everything as it was, and stays visible until a good one comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from monitor.core.messages import Notice, event
from monitor.core.rules.diff import Affected, Diff, diff
from monitor.core.rules.ruleset import RuleSet
from monitor.errors import ConfigError, MonitorError, excerpt
from monitor.ports import EventLog, Unknown

QUIET_MILLISECONDS = 500
"""How long nothing changes before files are read: editors and tools write in several steps."""

LONGEST_CHANGE_MILLISECONDS = 5_000
"""How long such steps are waited for."""

LOOK_SECONDS = 5.0
"""How often files are looked at where the system tells of no change, as on a network's share."""

MOST_LOOKED_AT = 2_000
"""Files and entries of folders whose change is noticed."""

MOST_COMPLAINTS_TOLD = 20
MOST_RULES_TOLD = 50
MOST_CHANGES_TOLD = 10
"""In the log, of one rule."""

TOLD_CHARACTERS = 300
"""Of a complaint, or of a value, in the log."""

BOOKKEEPING = frozenset({"files", "watched", "origins", "warnings"})
"""Fields of settings that say where something stands, and configure nothing."""

logger = logging.getLogger("monitor.alerting")


class Configured(Protocol):
    """Settings, as far as this needs to know them; a dataclass, a field for each section."""

    @property
    def rules(self) -> RuleSet:
        """The rules of all files."""

    @property
    def watched(self) -> Sequence[Path]:
        """Files and folders whose change means that they are to be read anew."""

    @property
    def warnings(self) -> Sequence[str]:
        """What is odd and holds all the same, a line each."""


Settings = TypeVar("Settings", bound=Configured)


@dataclass(frozen=True, slots=True)
class ReloadResult:
    """What came of one reading; `at` is in unix seconds, `reason` and `by` are for people.

    `needs_restart` are sections that are different from what the server started with, and that
    hold when it starts the next time.
    """

    ok: bool
    at: float
    reason: str
    by: str
    complaints: tuple[str, ...] = ()
    diff: Diff = field(default_factory=Diff)
    sections: tuple[str, ...] = ()
    """Those that are different and hold now, ``rules`` among them."""
    needs_restart: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """In a sentence, for the log."""
        if not self.ok:
            count = len(self.complaints)
            told = f"{count} complaint{'' if count == 1 else 's'}"
            return f"the configuration was refused, and what held holds: {told} ({self.reason})"
        others = [name for name in self.sections if name != "rules"]
        parts = [self.diff.text, *([f"changed: {', '.join(others)}"] if others else [])]
        if self.needs_restart:
            parts.append(f"needs a restart: {', '.join(self.needs_restart)}")
        return f"the configuration was read anew: {'; '.join(parts)} ({self.reason})"


@dataclass(frozen=True, slots=True)
class ReloadState:
    """How it stands: since when the present configuration holds, and what was refused after."""

    good_at: float
    last: ReloadResult | None = None
    """The latest that was taken over."""
    failed: ReloadResult | None = None
    """The latest that was refused; none once a good one came."""
    needs_restart: tuple[str, ...] = ()

    @property
    def is_failing(self) -> bool:
        """Whether the files say something that does not hold, because it cannot."""
        return self.failed is not None


class Reloading(Generic[Settings]):
    """Takes the configuration over anew; `settings` are those that hold."""

    def __init__(
        self,
        settings: Settings,
        *,
        load: Callable[[], Settings],
        apply: Callable[[Settings], Awaitable[None]],
        taken: Iterable[str],
        affected: Callable[[RuleSet, RuleSet], Sequence[Affected]],
        log: EventLog,
        clock: Callable[[], float],
    ) -> None:
        """Go on from these settings.

        `load` reads the files, in a thread, and raises `ConfigError`.  `apply` lets new settings
        hold, or raises a `MonitorError` having changed nothing.  `taken` are the sections that it
        takes; others need a restart.  `affected` says which alerts that fire are different by
        other rules: it is given those that hold and the new ones.
        """
        self.settings = settings
        self._started = settings
        self._load = load
        self._apply = apply
        self._taken = frozenset(taken)
        self._affected = affected
        self._log = log
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()
        self._asked = asyncio.Event()
        self._seen = looked_at(settings.watched)
        self.state = ReloadState(clock())

    async def reload(self, reason: str, by: str) -> ReloadResult:
        """Read the files and let them hold, all or nothing; the log is told either way.

        `reason` is what led to it, such as ``asked`` or ``a file changed``; `by` is who.
        """
        async with self._one_at_a_time:
            return await self._reload(reason, by, is_quiet=False)

    async def preview(self, by: str) -> ReloadResult:
        """What a reload would come to now; nothing of it holds, and the log is not told."""
        async with self._one_at_a_time:
            found, _ = await self._read("previewed", by)
            return found

    async def run(self) -> None:
        """Reload on SIGHUP and when files change, until cancelled."""
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(self._on_hangup())
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._hangups())
                tasks.create_task(self._changes())

    async def _hangups(self) -> None:
        while True:
            await self._asked.wait()
            self._asked.clear()
            await self.reload("SIGHUP", "the system")

    async def _changes(self) -> None:
        while True:
            folders = _folders(self.settings.watched)
            async for _ in changes(folders):
                async with self._one_at_a_time:
                    now = await asyncio.to_thread(looked_at, self.settings.watched)
                    if now != self._seen:
                        await self._reload("a file changed", "the files", is_quiet=True)
                if _folders(self.settings.watched) != folders:
                    break  # another folder is to be watched from now on

    async def _reload(self, reason: str, by: str, *, is_quiet: bool) -> ReloadResult:
        """One reload; with `is_quiet` the log is not told where nothing is different."""
        # Looked at before they are read: what changes meanwhile is read once more.
        self._seen = await asyncio.to_thread(looked_at, self.settings.watched)
        result, new = await self._read(reason, by)
        is_same = new is not None and not _different(self.settings, new, BOOKKEEPING)
        if new is not None:
            try:
                await self._apply(new)
            except MonitorError as error:
                result, new = replace(result, ok=False, complaints=(error.detail,)), None
        if new is None:
            self.state = replace(self.state, failed=result)
            logger.error("the configuration is refused: %s", "; ".join(result.complaints[:3]))
        else:
            old, was_failing = self.settings, self.state.is_failing
            if new.watched != old.watched:
                self._seen = await asyncio.to_thread(looked_at, new.watched)
            self.settings = new
            self.state = ReloadState(result.at, result, None, result.needs_restart)
            if is_quiet and is_same and not was_failing:
                return result
            logger.info("%s", result.text)
            for warning in (each for each in new.warnings if each not in old.warnings):
                logger.warning("%s", warning)
        await self._tell(result)
        return result

    async def _read(self, reason: str, by: str) -> tuple[ReloadResult, Settings | None]:
        """What the files say now: what would come of it, and the settings where they are good."""
        at = self._clock()
        try:
            new = await asyncio.to_thread(self._load)
        except ConfigError as error:
            return ReloadResult(False, at, reason, by, tuple(error.complaints)), None
        except MonitorError as error:
            return ReloadResult(False, at, reason, by, (error.detail,)), None
        except Exception:
            # A fault of ours in reading, which is no reason to end what runs.
            logger.exception("the configuration could not be read")
            complaint = "it could not be read, for a fault of this program; see its log"
            return ReloadResult(False, at, reason, by, (complaint,)), None
        found = diff(self.settings.rules, new.rules)
        if found:
            affected = tuple(self._affected(self.settings.rules, new.rules))
            found = replace(found, affected=affected)
        waiting = tuple(_different(self._started, new, BOOKKEEPING | self._taken))
        now = tuple(
            name for name in _different(self.settings, new, BOOKKEEPING) if name in self._taken
        )
        return ReloadResult(True, at, reason, by, (), found, now, waiting), new

    async def _tell(self, result: ReloadResult) -> None:
        """Append the notice; the log may be away, and what was reloaded holds all the same."""
        notice = Notice(kind="reload", text=result.text, details=_details(result))
        try:
            await self._log.append([event(notice, result.at, secrets.token_hex(8))])
        except (MonitorError, Unknown) as error:
            logger.error("the log was not told of a reload: %s", excerpt(str(error)))  # noqa: TRY400

    @contextlib.contextmanager
    def _on_hangup(self) -> Iterator[None]:
        """Hear SIGHUP, where this is the main thread of a system that has it."""
        loop = asyncio.get_running_loop()
        try:
            loop.add_signal_handler(signal.SIGHUP, self._asked.set)
        except (NotImplementedError, RuntimeError, ValueError, AttributeError):
            yield
            return
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGHUP)


async def changes(folders: Sequence[Path]) -> AsyncIterator[None]:
    """Say that something may have changed in one of these folders, or that it is time to look.

    Renames into place count, as editors and tools make them, since folders are watched.
    """
    if not folders:
        await asyncio.Event().wait()  # no file was read, so none can change
    import watchfiles  # noqa: PLC0415 - a library of its own, only where there is a file to watch

    try:
        async for _ in watchfiles.awatch(
            *folders,
            watch_filter=None,
            debounce=LONGEST_CHANGE_MILLISECONDS,
            step=QUIET_MILLISECONDS,
            rust_timeout=round(LOOK_SECONDS * 1000),
            yield_on_timeout=True,
            recursive=False,
            ignore_permission_denied=True,
        ):
            yield
    except (OSError, RuntimeError) as error:
        # No more watches are to be had, or a folder went away: looking has to do.
        logger.warning("changes of the configuration are looked for: %s", excerpt(str(error)))
    await asyncio.sleep(LOOK_SECONDS)
    yield


def looked_at(watched: Sequence[Path]) -> tuple[tuple[str, int, int, int], ...]:
    """What files and folders look like now: whatever is written or replaced looks different.

    Of folders it is the TOML files in them that count.
    """
    found: dict[str, tuple[str, int, int, int]] = {}
    for path in watched:
        entries = [path]
        with contextlib.suppress(OSError):
            if path.is_dir():
                entries = [each for each in path.iterdir() if _counts(each)]
        for each in entries:
            if len(found) < MOST_LOOKED_AT:
                found[str(each)] = _look(each)
    return tuple(found[name] for name in sorted(found))


def _counts(entry: Path) -> bool:
    """Whether an entry of a folder may be read; editors leave hidden files beside it."""
    return entry.suffix == ".toml" and not entry.name.startswith(".")


def _look(path: Path) -> tuple[str, int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return str(path), 0, 0, 0
    return str(path), found.st_mtime_ns, found.st_size, found.st_ino


def _folders(watched: Sequence[Path]) -> tuple[Path, ...]:
    """The folders to watch: those that are named, and those of the files."""
    found = dict.fromkeys(path if path.is_dir() else path.parent for path in watched)
    return tuple(folder for folder in found if folder.is_dir())


def _different(old: Any, new: Any, but: frozenset[str]) -> list[str]:
    """The fields in which two settings are different."""
    return [
        each.name
        for each in fields(new)
        if each.name not in but and getattr(old, each.name) != getattr(new, each.name)
    ]


def _details(result: ReloadResult) -> dict[str, Any]:
    """What the log keeps of a reload, within bounds."""
    found = result.diff
    return {
        "by": result.by,
        "reason": result.reason,
        "ok": result.ok,
        "complaints": [line[:TOLD_CHARACTERS] for line in result.complaints[:MOST_COMPLAINTS_TOLD]],
        "added": list(found.added[:MOST_RULES_TOLD]),
        "removed": list(found.removed[:MOST_RULES_TOLD]),
        "changed": {
            name: [
                {
                    "key": each.key[:TOLD_CHARACTERS],
                    "before": each.before[:TOLD_CHARACTERS],
                    "after": each.after[:TOLD_CHARACTERS],
                }
                for each in found.changed[name][:MOST_CHANGES_TOLD]
            ]
            for name in list(found.changed)[:MOST_RULES_TOLD]
        },
        "affected": len(found.affected),
        "sections": list(result.sections),
        "needs_restart": list(result.needs_restart),
    }
