"""The configuration is read anew: all of it holds, or nothing of it, and the log is told."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from monitor.alerting import reloading
from monitor.alerting.reloading import Reloading, looked_at
from monitor.config import RELOADED, Settings, load
from monitor.core.rules.diff import Affected
from monitor.core.rules.ruleset import RuleSet
from monitor.errors import ConfigError, Unavailable
from monitor.log.memory import MemoryLog
from monitor.model import Event, EventType

RULE = '[rules.queue]\nmetric = "app.queue.length"\nwarning.above = {}\n'


@dataclass
class House:
    """A configuration in a folder, what was applied of it, and the log."""

    folder: Path
    log: MemoryLog = field(default_factory=MemoryLog)
    applied: list[Settings] = field(default_factory=list)
    refusal: Exception | None = None
    now: float = 1_000.0

    def write(self, text: str, name: str = "config.toml") -> None:
        """Write as editors do: a file beside it, then renamed over it."""
        beside = self.folder / f"{name}.new~"
        beside.parent.mkdir(exist_ok=True)
        include = 'include = ["conf.d/*.toml"]\n' if name == "config.toml" else ""
        beside.write_text(f"{include}{text}")
        beside.rename(self.folder / name)

    def load(self) -> Settings:
        return load(Path("config.toml"), cwd=self.folder)

    async def apply(self, settings: Settings) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.applied.append(settings)

    def affected(self, old: RuleSet, new: RuleSet) -> Sequence[Affected]:
        return [Affected("a1", "queue", "web-1", {}, "warning", "")] if len(new) < len(old) else []

    def made(self) -> Reloading[Settings]:
        return Reloading(
            self.load(),
            load=self.load,
            apply=self.apply,
            taken=RELOADED,
            affected=self.affected,
            log=self.log,
            clock=lambda: self.now,
        )

    async def notices(self) -> list[dict[str, Any]]:
        """What the log was told."""
        events, _, _ = await self.log.read(0, None, 100)
        assert all(event.type is EventType.NOTICE for event in events)
        assert all(event.data["kind"] == "reload" for event in events)
        return [dict(event.data) for event in events]


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A house with one rule of its own."""
    made = House(tmp_path)
    made.write(RULE.format(100))
    return made


@contextlib.asynccontextmanager
async def running(
    reloads: Reloading[Settings], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[None]:
    """Watch, with short waits; it goes on once the first watch stands."""
    monkeypatch.setattr(reloading, "QUIET_MILLISECONDS", 50)
    monkeypatch.setattr(reloading, "LOOK_SECONDS", 0.2)
    task = asyncio.create_task(reloads.run())
    await asyncio.sleep(0)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what another thread tells of; the test's own limit ends it."""
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - what is waited for is another room's state
            await asyncio.sleep(0.02)


async def test_good(house: House) -> None:
    """It must be that a good file holds, is told with what is different, and by whom."""
    reloads = house.made()
    assert reloads.state.good_at == 1_000.0
    house.write(RULE.format(50) + '[channels.phone]\nurl = "https://a.example.com/x"\n')
    house.now = 1_001.0
    result = await reloads.reload("asked", "ann")
    assert result.ok
    assert list(result.diff.changed) == ["queue"]
    assert result.sections == ("channels", "rules")
    assert result.needs_restart == ()
    assert house.applied[0].rules.rules["queue"].levels[0].clauses[0].limit.value == 50  # type: ignore[union-attr]
    assert reloads.settings is house.applied[0]
    assert (reloads.state.good_at, reloads.state.last, reloads.state.failed) == (
        1_001.0,
        result,
        None,
    )
    (notice,) = await house.notices()
    assert notice["text"] == (
        "the configuration was read anew: rules: 1 changed; changed: channels (asked)"
    )
    details = notice["details"]
    assert (details["by"], details["reason"], details["ok"]) == ("ann", "asked", True)
    assert details["changed"] == {
        "queue": [{"key": "warning.above", "before": "100", "after": "50"}]
    }
    assert "example.com" not in str(notice)


async def test_bad(house: House) -> None:
    """It must be that of a bad file nothing holds, until a good one comes; each is told."""
    house.write(RULE.format(100), "conf.d/a.toml")
    reloads = house.made()
    before = reloads.settings
    house.write('[rules.other]\nmetric = "a"\nwarning.above = 1\n[[routes]]\nchannels = ["x"]')
    result = await reloads.reload("asked", "ann")
    assert not result.ok
    assert result.complaints[0].startswith("config.toml:6:13: routes[0].channels[0]: there is no")
    assert house.applied == []
    assert reloads.settings is before
    assert reloads.state.is_failing
    assert reloads.state.failed == result
    assert reloads.state.good_at == 1_000.0
    house.write(RULE.format(100))
    assert (await reloads.reload("asked", "ann")).ok
    assert not reloads.state.is_failing
    bad, good = await house.notices()
    assert bad["details"]["complaints"] == list(result.complaints)
    assert "was refused, and what held holds: 1 complaint" in bad["text"]
    assert good["details"]["ok"]


async def test_what_cannot_be_applied(house: House) -> None:
    """It must be that what is refused where it would hold is refused as a whole."""
    reloads = house.made()
    before = reloads.settings
    house.refusal = Unavailable("no room")
    house.write(RULE.format(50))
    result = await reloads.reload("asked", "ann")
    assert (result.ok, result.complaints) == (False, ("no room",))
    assert reloads.settings is before


async def test_a_fault_of_ours(house: House) -> None:
    """It must be that reading that fails in a way nobody foresaw ends nothing."""
    reloads = house.made()

    def broken() -> Settings:
        raise RuntimeError("hunter2")

    reloads._load = broken
    result = await reloads.reload("asked", "ann")
    assert not result.ok
    assert "hunter2" not in str(result.complaints)


async def test_what_needs_a_restart(house: House) -> None:
    """It must be that sections that are not taken are named until the server starts anew."""
    reloads = house.made()
    house.write(RULE.format(50) + '[collect]\ninterval = "2s"\n')
    assert (await reloads.reload("asked", "ann")).needs_restart == ("collect",)
    house.write(RULE.format(40) + '[collect]\ninterval = "2s"\n')
    result = await reloads.reload("asked", "ann")
    assert result.needs_restart == reloads.state.needs_restart == ("collect",)
    assert result.text.endswith("rules: 1 changed; needs a restart: collect (asked)")
    house.write(RULE.format(40))
    assert (await reloads.reload("asked", "ann")).needs_restart == ()


async def test_preview(house: House) -> None:
    """It must be that a preview says what would be different, and changes and tells nothing."""
    reloads = house.made()
    before = reloads.settings
    house.write("")
    result = await reloads.preview("ann")
    assert result.diff.removed == ("queue",)
    assert [each.alert for each in result.diff.affected] == ["a1"]
    assert reloads.settings is before
    assert (reloads.state.last, house.applied, await house.notices()) == (None, [], [])


async def test_a_log_that_is_away(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """It must be that a reload holds though the log cannot be told of it."""

    async def away(events: Sequence[Event], *_: object) -> int:
        raise Unavailable("away")

    monkeypatch.setattr(house.log, "append", away)
    reloads = house.made()
    house.write(RULE.format(50))
    assert (await reloads.reload("asked", "ann")).ok


async def test_bounded(house: House) -> None:
    """It must be that a notice fits into the log, however much is different or wrong."""
    reloads = house.made()
    many = "".join(
        f'[rules.r{n}]\nmetric = "a"\nwarning.above = {n}\nsummary = "{"x" * 499}"\n'
        for n in range(900)
    )
    house.write(many)
    assert len((await reloads.reload("asked", "ann")).diff.added) == 900
    house.write(many.replace("x" * 499, "y" * 499))
    assert len((await reloads.reload("asked", "ann")).diff.changed) == 900
    house.write("".join(f"k{n} = {n}\n" for n in range(1_000)))
    assert not (await reloads.reload("asked", "ann")).ok
    assert len(await house.notices()) == 3


async def test_a_file_changes(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """It must be that what is renamed over a file, or written into it, holds unasked."""
    reloads = house.made()
    async with running(reloads, monkeypatch):
        house.write(RULE.format(50))
        await until(lambda: reloads.state.last is not None)
        assert list(reloads.state.last.diff.changed) == ["queue"]  # type: ignore[union-attr]
        with (house.folder / "config.toml").open("a") as file:
            file.write("for = 3\n")
        await until(lambda: reloads.state.is_failing)
        house.write(RULE.format(60))
        await until(lambda: not reloads.state.is_failing)
    reasons = [notice["details"]["reason"] for notice in await house.notices()]
    assert reasons == ["a file changed"] * 3


async def test_a_new_file_in_a_new_folder(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """It must be that a file counts that comes where an include would find it."""
    reloads = house.made()
    async with running(reloads, monkeypatch):
        house.write("[rules.queue]\nwarning.above = 10\n", "conf.d/a.toml")
        await until(lambda: bool(house.applied))
        house.write('[rules.b]\nmetric = "b"\nwarning.above = 10\n', "conf.d/b.toml")
        await until(lambda: "b" in reloads.settings.rules.rules)
        (house.folder / "conf.d/b.toml").unlink()
        await until(lambda: "b" not in reloads.settings.rules.rules)


async def test_a_secret_changes(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """It must be that another address in a file of its own is taken over."""
    house.write('[channels.a]\nurl_file = "a.url"\n')
    path = house.folder / "a.url"
    path.write_text("https://a.example.com")
    path.chmod(stat.S_IRUSR | stat.S_IWUSR)
    reloads = house.made()
    async with running(reloads, monkeypatch):
        path.write_text("https://b.example.com")
        await until(lambda: bool(house.applied))
    assert reloads.state.last is not None
    assert reloads.state.last.sections == ("channels",)


async def test_nothing_different(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """It must be that a file that is merely touched is read, and the log hears nothing of it."""
    reloads = house.made()
    async with running(reloads, monkeypatch):
        os.utime(house.folder / "config.toml", (1, 1))
        await until(lambda: reloads.state.last is not None)
        assert await house.notices() == []
    await reloads.reload("asked", "ann")
    assert len(await house.notices()) == 1


async def test_without_watches(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """It must be that files are looked at where the system has no watches left to give."""

    def none_left(*_: object, **__: object) -> None:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr("watchfiles.awatch", none_left)
    reloads = house.made()
    async with running(reloads, monkeypatch):
        house.write(RULE.format(50))
        await until(lambda: bool(house.applied))


async def test_hangup(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """It must be that SIGHUP reloads, as the operator who sends it expects."""
    reloads = house.made()
    before = signal.getsignal(signal.SIGHUP)
    async with running(reloads, monkeypatch):
        await until(lambda: signal.getsignal(signal.SIGHUP) != before)
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: bool(house.applied))
    assert [notice["details"]["reason"] for notice in await house.notices()] == ["SIGHUP"]


async def test_one_at_a_time(house: House) -> None:
    """It must be that two who ask at once both get an answer, one after the other."""
    reloads = house.made()
    house.write(RULE.format(50))
    one, other = await asyncio.gather(
        reloads.reload("asked", "ann"), reloads.reload("asked", "bob")
    )
    assert list(one.diff.changed) == ["queue"]
    assert not other.diff
    assert len(house.applied) == 2


async def test_without_a_file(tmp_path: Path) -> None:
    """It must be that a server without a configuration watches nothing, and may be asked."""
    house = House(tmp_path)
    reloads = Reloading(
        load(None),
        load=lambda: load(None),
        apply=house.apply,
        taken=RELOADED,
        affected=house.affected,
        log=house.log,
        clock=lambda: 1.0,
    )
    task = asyncio.create_task(reloads.run())
    assert (await reloads.reload("asked", "ann")).ok
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def test_what_is_looked_at(tmp_path: Path) -> None:
    """It must be that what editors leave beside a file is no change, and a missing file is one."""
    (tmp_path / "a.toml").write_text("")
    watched = [tmp_path, tmp_path / "key"]
    before = looked_at(watched)
    (tmp_path / ".a.toml.swp").write_text("")
    (tmp_path / ".#a.toml").write_text("")
    (tmp_path / "log.db").write_text("")
    assert looked_at(watched) == before
    (tmp_path / "key").write_text("")
    assert looked_at(watched) != before


def test_complaints_are_those_of_the_files(house: House) -> None:
    """It must be that the loader that is given complains as the one at the start does."""
    house.write("[rules.queue]\nabvoe = 3")
    with pytest.raises(ConfigError):
        house.load()
