"""The roster: hosts and their statuses are what they were before a restart."""

from __future__ import annotations

import secrets

import pytest

from monitor.core import messages
from monitor.core.state import LiveState
from monitor.fleet import roster
from monitor.fleet.roster import Roster
from monitor.log.memory import MemoryLog
from monitor.log.memory_registry import MemoryRegistry
from monitor.model import HostStatus, RetentionClass
from monitor.pipeline import Pipeline
from monitor.ports import Conflict
from monitor.store.memory import MemoryStore
from tests.frames import frame


class Stand:
    """A log and a registry that outlive the servers that run on them."""

    def __init__(self) -> None:
        self.registry = MemoryRegistry()
        self.log = MemoryLog(self.registry)
        self.now = 1_000.0

    async def server(self) -> Server:
        started = Server(self)
        await started.roster.restore(self.now)
        return started


class Server:
    """One life of a server."""

    def __init__(self, stand: Stand) -> None:
        self.stand = stand
        self.state = LiveState()
        self.roster = Roster(self.state, stand.log, stand.registry)
        clock = lambda: stand.now  # noqa: E731
        self.pipeline = Pipeline(self.state, MemoryStore(), stand.log, lambda: None, clock)

    async def frame(self, host: str) -> None:
        await self.pipeline.accept(frame(self.stand.now, {"a": 1}, host), [])
        await self.pipeline.tick(self.stand.now)

    def statuses(self) -> dict[str, HostStatus | None]:
        return {host.name: host.status for host in self.state.hosts.values()}


async def test_a_host_is_known_after_a_restart_and_does_not_come_anew() -> None:
    stand = Stand()
    first = await stand.server()
    await first.frame("web-1")
    await first.roster.keep()
    stand.now += 10
    second = await stand.server()
    assert second.statuses() == {"web-1": HostStatus.UP}
    assert second.state.hosts["web-1"].since == 1_000.0
    await second.frame("web-1")
    assert await stand.log.last() == 1


async def test_what_the_log_has_after_the_checkpoint_is_folded_in() -> None:
    stand = Stand()
    first = await stand.server()
    await first.frame("web-1")
    await first.roster.keep()
    await first.frame("web-2")  # and the server is killed
    second = await stand.server()
    assert second.statuses() == {"web-1": HostStatus.UP, "web-2": HostStatus.UP}


async def test_a_host_that_stays_away_goes_down_after_the_restart() -> None:
    stand = Stand()
    await (await stand.server()).frame("web-1")
    stand.now += 3_600
    second = await stand.server()
    await second.pipeline.tick(stand.now)
    assert second.statuses() == {"web-1": HostStatus.UP}, "its silence counts from the start"
    for _ in range(70):
        stand.now += 1
        await second.pipeline.tick(stand.now)
    assert second.statuses() == {"web-1": HostStatus.DOWN}


async def test_a_host_that_was_away_before_the_restart_is_away_after_it() -> None:
    stand = Stand()
    first = await stand.server()
    await first.frame("web-1")
    for _ in range(70):
        stand.now += 1
        await first.pipeline.tick(stand.now)
    last = await stand.log.last()
    for _ in range(3):
        stand.now += 5
        server = await stand.server()
        for _ in range(70):
            stand.now += 1
            await server.pipeline.tick(stand.now)
        assert server.statuses() == {"web-1": HostStatus.DOWN}
        assert server.state.hosts["web-1"].at == 1_000.0
    assert await stand.log.last() == last, "nothing happened, so nothing is logged"
    await server.frame("web-1")
    assert server.statuses() == {"web-1": HostStatus.UP}


async def test_a_host_is_in_the_log_when_its_first_frame_is_accepted() -> None:
    stand = Stand()
    server = await stand.server()
    for name in ("web-1", "web-2", "web-1"):
        await server.pipeline.accept(frame(stand.now, {"a": 1}, name), [])
        stand.now += 1
    assert await stand.log.last() == 2
    again = await stand.server()
    assert again.statuses() == {"web-1": HostStatus.UP, "web-2": HostStatus.UP}


async def test_at_the_end_the_newest_frames_instants_are_kept() -> None:
    stand = Stand()
    server = await stand.server()
    await server.frame("web-1")
    await server.roster.keep()
    stand.now += 100
    await server.frame("web-1")
    await server.roster.keep(at_the_end=True)
    assert (await stand.server()).state.hosts["web-1"].at == 1_100.0


async def test_the_checkpoint_follows_the_log_so_that_it_can_be_trimmed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(roster, "PAGE_EVENTS", 5)
    stand = Stand()
    server = await stand.server()
    await server.frame("web-1")
    await server.roster.keep()
    assert await stand.log.trim(RetentionClass.HOSTS, 2_000.0) == 1
    for _ in range(6):
        notice = messages.Notice(kind="audit", text="Somebody did something.")
        await stand.log.append([messages.event(notice, 1.0, secrets.token_hex(4))])
    assert await stand.log.trim(RetentionClass.AUDIT, 2_000.0) == 0
    await server.roster.keep()
    assert await stand.log.trim(RetentionClass.AUDIT, 2_000.0) == 6


async def test_trimmed_events_do_not_keep_a_server_from_starting() -> None:
    stand = Stand()
    stand.log = MemoryLog(most_events=3)
    server = await stand.server()
    for number in range(9):
        await server.frame(f"web-{number}")
    again = Roster(LiveState(), stand.log, MemoryRegistry())
    await again.restore(stand.now)
    assert len(again._kept) == 3


async def test_without_a_checkpoint_only_the_newest_of_a_long_log_is_folded(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(roster, "MOST_FOLDED", 3)
    stand = Stand()
    server = await stand.server()
    for number in range(9):
        await server.frame(f"web-{number}")
    again = await stand.server()
    assert sorted(again.statuses()) == ["web-6", "web-7", "web-8"]
    assert "forgotten" in caplog.text


async def test_a_checkpoint_that_cannot_be_read_is_made_anew_from_the_log() -> None:
    stand = Stand()
    first = await stand.server()
    await first.frame("web-1")
    await stand.registry.save("hosts", b"no roster", {"log": 0}, 0)
    second = await stand.server()
    assert second.statuses() == {"web-1": HostStatus.UP}
    await second.roster.keep()


async def test_a_stale_keeper_is_refused_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    stand = Stand()
    first, second = await stand.server(), await stand.server()
    await first.frame("web-1")
    await first.roster.keep()
    await second.frame("web-2")
    await second.roster.keep()
    await second.frame("web-3")
    await second.roster.keep(at_the_end=True)
    assert caplog.text.count("kept by another process") == 1
    with pytest.raises(Conflict):
        await stand.registry.save("hosts", b"", {}, 0)


async def test_of_more_hosts_than_fit_the_longest_silent_are_forgotten(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(roster, "LONGEST_VALUE_BYTES", roster.ENVELOPE_BYTES + 2_000)
    stand = Stand()
    server = await stand.server()
    for _ in range(150):
        stand.now += 0.01
        await server.pipeline.accept(frame(stand.now, {"a": 1}, secrets.token_hex(20)), [])
    await server.roster.keep()
    assert "more than is known" in caplog.text
    kept = server.roster._kept
    assert 10 < len(kept) < 100
    newest = sorted(server.state.hosts.values(), key=lambda host: host.at)[-len(kept) :]
    assert set(kept) == {host.name for host in newest}
    assert await stand.log.trim(RetentionClass.HOSTS, 2_000.0) == 150, "and the log goes on"
