"""The fleet: who speaks for a host, whose labels hold, who was turned away, how one leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec
import pytest

from monitor.core.state import LiveState
from monitor.errors import InputError, Unavailable
from monitor.fleet import fleet as fleet_module
from monitor.fleet.config import HostsConfig
from monitor.fleet.fleet import REFUSED_SECONDS, WISHES, Fleet, Wish
from monitor.log.memory import MemoryLog
from monitor.log.memory_registry import MemoryRegistry
from monitor.model import HostStatus, Introduction
from monitor.pipeline import Pipeline
from monitor.ports import Gap
from monitor.store.memory import MemoryStore
from tests.frames import frame


class Stand:
    """A log and a registry that outlive the servers that run on them."""

    def __init__(self) -> None:
        self.registry = MemoryRegistry()
        self.log = MemoryLog(self.registry)
        self.now = 1_000.0

    async def server(self, configured: Mapping[str, HostsConfig] | None = None) -> Server:
        started = Server(self, configured or {})
        await started.fleet.load()
        return started


class Server:
    """One life of a server."""

    def __init__(self, stand: Stand, configured: Mapping[str, HostsConfig]) -> None:
        self.stand = stand
        self.state = LiveState()
        self.forgotten: list[str] = []
        clock = lambda: stand.now  # noqa: E731
        self.pipeline = Pipeline(self.state, MemoryStore(), stand.log, lambda: None, clock)
        self.fleet = Fleet(
            self.state,
            self.pipeline,
            stand.registry,
            stand.log,
            self.forget,
            "hub",
            clock,
            configured,
        )

    async def forget(self, host: str) -> None:
        self.forgotten.append(host)

    async def hear(self, said: Introduction) -> None:
        """What the intake does with a push."""
        self.fleet.require(said)
        await self.pipeline.accept(frame(self.stand.now, {"a": 1}, said.host), [])
        await self.fleet.met(said)

    def labels(self, host: str = "web-1") -> dict[str, str]:
        return self.state.hosts[host].labels

    async def told(self) -> list[tuple[object, object]]:
        events, _, _ = await self.stand.log.read(0, None, 1_000)
        return [(event.data["status"], event.data["reason"]) for event in events]


async def test_the_first_agent_of_a_host_is_its_own_over_a_restart() -> None:
    stand = Stand()
    server = await stand.server()
    await server.hear(Introduction("web-1", "first"))
    for life in (server, await stand.server()):
        life.fleet.require(Introduction("web-1", "first"))
        life.fleet.require(Introduction("web-1"))  # a script has no identity
        with pytest.raises(InputError) as fault:
            life.fleet.require(Introduction("web-1", "second"))
        assert (fault.value.code, fault.value.status) == ("host_taken", 409)


async def test_nobody_speaks_for_the_server_s_own_host() -> None:
    server = await Stand().server()
    with pytest.raises(InputError) as fault:
        server.fleet.require(Introduction("hub"))
    assert fault.value.code == "host_taken"


async def test_who_was_turned_away_is_shown_and_may_be_accepted() -> None:
    stand = Stand()
    server = await stand.server()
    await server.hear(Introduction("web-1", "first"))
    second = Introduction("web-1", "second", info={"version": "9"})
    for _ in range(3):
        with pytest.raises(InputError) as fault:
            server.fleet.require(second)
        server.fleet.refused(second, fault.value, "192.0.2.7")
        stand.now += 1
    (shown,) = server.fleet.refusals
    assert (shown.host, shown.code, shown.count) == ("web-1", "host_taken", 3)
    assert (shown.address, shown.agent, shown.info) == ("192.0.2.7", "second", {"version": "9"})
    assert (shown.since, shown.last) == (1_000, 1_002)
    await server.fleet.adopt("web-1")
    assert server.fleet.refusals == ()
    for life in (server, await stand.server()):
        life.fleet.require(second)
        with pytest.raises(InputError):
            life.fleet.require(Introduction("web-1", "first"))


async def test_a_copy_is_shown_although_the_first_goes_on() -> None:
    stand = Stand()
    server = await stand.server()
    said = Introduction("web-1", "first")
    await server.hear(said)
    error = InputError("one is a copy", code="host_taken", field="boot_id", status=409)
    server.fleet.refused(said, error)
    await server.hear(said)
    (shown,) = server.fleet.refusals
    assert shown.is_copy


async def test_a_host_whose_clock_is_wrong_is_not_silent() -> None:
    stand = Stand()
    server = await stand.server()
    await server.hear(Introduction("web-1", "first"))
    await server.pipeline.tick(stand.now)
    error = InputError("an hour ahead", code="bad_time")
    for _ in range(200):
        stand.now += 1
        server.fleet.refused(Introduction("web-1", "first", skew_seconds=-3_600), error)
        await server.pipeline.tick(stand.now)
    host = server.state.hosts["web-1"]
    assert (host.status, host.skew_seconds) == (HostStatus.UP, -3_600)
    for _ in range(200):
        stand.now += 1
        server.fleet.refused(Introduction("web-1", "another"), error)
        await server.pipeline.tick(stand.now)
    assert host.status is HostStatus.DOWN


async def test_a_refusal_is_forgotten_once_its_sender_is_heard_or_does_not_come() -> None:
    stand = Stand()
    server = await stand.server()
    error = InputError("its clock is ahead", code="bad_time")
    server.fleet.refused(Introduction("web-1", "first"), error)
    server.fleet.refused(Introduction("web-2", "other"), error)
    await server.hear(Introduction("web-1", "first"))
    assert [each.host for each in server.fleet.refusals] == ["web-2"]
    stand.now += REFUSED_SECONDS + 1
    assert server.fleet.refusals == ()


async def test_the_operator_s_labels_win_and_they_alone_are_trusted() -> None:
    configured = {
        "*": HostsConfig(labels={"env": "prod", "role": "any"}),
        "web-*": HostsConfig(labels={"role": "web"}),
        "db-*": HostsConfig(trust_labels=True),
    }
    server = await Stand().server(configured)
    own = {"role": "database", "team": "a"}
    await server.hear(Introduction("web-1", "a", labels=own, given_labels={"rack": "7"}))
    host = server.state.hosts["web-1"]
    assert host.labels == {"role": "web", "team": "a", "env": "prod", "rack": "7"}
    assert host.set_labels == {"role": "web", "env": "prod", "rack": "7"}
    await server.hear(Introduction("db-1", "b", labels=own))
    host = server.state.hosts["db-1"]
    assert host.set_labels == host.labels == {"role": "any", "team": "a", "env": "prod"}


async def test_labels_and_facts_outlive_a_restart_and_what_is_left_out_stays() -> None:
    stand = Stand()
    server = await stand.server()
    said = Introduction(
        "web-1", "a", labels={"role": "web"}, info={"version": "1"}, interval_seconds=10
    )
    await server.hear(said)
    await server.hear(Introduction("web-1", labels=None))
    again = await stand.server()
    again.state.recall("web-1", {}, stand.now)
    await again.fleet.load()
    host = again.state.hosts["web-1"]
    assert (host.labels, host.info, host.period_seconds) == ({"role": "web"}, {"version": "1"}, 10)


async def test_labels_from_before_there_were_cards_are_read_and_bad_ones_cost_themselves() -> None:
    stand = Stand()
    await stand.registry.put("labels/web-1", b'{"role":"web"}')
    await stand.registry.put("labels/web-2", b"no labels")
    await stand.registry.put("hosts/web-3", b"no card")
    server = await stand.server()
    for name in ("web-1", "web-2", "web-3"):
        await server.hear(Introduction(name))
    assert (server.labels("web-1"), server.labels("web-2")) == ({"role": "web"}, {})


async def test_a_card_that_cannot_be_kept_is_not_believed() -> None:
    stand = Stand()
    server = await stand.server()

    async def fail(_key: str, _value: bytes) -> int:
        raise Unavailable("the disk is full", code="disk_low")

    put, stand.registry.put = stand.registry.put, fail  # type: ignore[assignment]
    with pytest.raises(Unavailable):
        await server.hear(Introduction("web-1", "first"))
    stand.registry.put = put  # type: ignore[method-assign]
    await server.hear(Introduction("web-1", "second"))
    assert server.fleet.agent_of("web-1") == "second"


async def test_an_ever_changing_card_is_saved_now_and_then() -> None:
    stand = Stand()
    server = await stand.server()
    saved = 0
    put = stand.registry.put

    async def counted(key: str, value: bytes) -> int:
        nonlocal saved
        saved += 1
        return await put(key, value)

    stand.registry.put = counted  # type: ignore[method-assign]
    for number in range(50):
        await server.hear(Introduction("web-1", "a", info={"version": str(number)}))
    assert saved == 1
    await server.fleet.keep()
    assert saved == 2
    assert b'"49"' in (await stand.registry.get("hosts/web-1")).value  # type: ignore[union-attr]


async def test_skew_is_shown_and_follows() -> None:
    server = await Stand().server()
    await server.hear(Introduction("web-1", "a", skew_seconds=3600))
    host = server.state.hosts["web-1"]
    assert host.skew_seconds == 3600
    await server.hear(Introduction("web-1", "a", skew_seconds=3600.5))
    assert host.skew_seconds == pytest.approx(3600.1)
    await server.hear(Introduction("web-1", "a", skew_seconds=0))
    await server.hear(Introduction("web-1", "a"))
    assert host.skew_seconds == 0


async def test_a_goodbye_is_told_at_once_and_the_host_that_comes_back_is_the_same() -> None:
    stand = Stand()
    server = await stand.server()
    await server.hear(Introduction("web-1", "a"))
    await server.fleet.goodbye("web-1")
    await server.fleet.goodbye("web-1")
    await server.fleet.goodbye("nobody")
    stand.now += 61
    await server.pipeline.tick(stand.now - 56)  # a tick that follows on the one before
    stand.now += 1
    await server.hear(Introduction("web-1", "a"))
    await server.pipeline.tick(stand.now)
    assert await server.told() == [
        ("up", "first frame"),
        ("stale", "its agent said goodbye"),
        ("up", "frames are coming again"),
    ]


async def test_an_ephemeral_host_retires_where_another_goes_down() -> None:
    stand = Stand()
    server = await stand.server({"ci-*": HostsConfig(ephemeral=True)})
    for name in ("ci-1", "ci-2", "web-1"):
        await server.hear(Introduction(name, name))
    await server.fleet.goodbye("ci-2")
    for _ in range(70):
        stand.now += 1
        await server.pipeline.tick(stand.now)
    statuses = {host.name: host.status for host in server.state.hosts.values()}
    assert statuses == {
        "ci-1": HostStatus.RETIRED,
        "ci-2": HostStatus.RETIRED,
        "web-1": HostStatus.DOWN,
    }
    assert ("retired", "its agent said goodbye") in await server.told()


async def test_a_retired_host_stays_so_until_its_frames_come() -> None:
    stand = Stand()
    server = await stand.server()
    await server.hear(Introduction("web-1", "a"))
    await server.fleet.retire("web-1", "ann")
    for _ in range(100):
        stand.now += 1
        await server.pipeline.tick(stand.now)
    assert server.state.hosts["web-1"].status is HostStatus.RETIRED
    await server.hear(Introduction("web-1", "a"))
    await server.pipeline.tick(stand.now)
    assert [status for status, _ in await server.told()] == ["up", "retired", "up"]
    with pytest.raises(InputError):
        await server.fleet.retire("hub")


async def test_a_deleted_host_is_gone_everywhere_and_comes_again_as_new() -> None:
    stand = Stand()
    server = await stand.server()
    asked: list[str] = []
    server.fleet.forgetting.append(asked.append)
    await server.hear(Introduction("web-1", "a", labels={"role": "web"}))
    await server.hear(Introduction("web-2", "b"))
    await server.fleet.delete("web-1")
    assert (asked, server.forgotten) == (["web-1"], ["web-1"])
    assert set(server.state.hosts) == {"web-2"}
    with pytest.raises(Gap):
        await stand.log.read(0, frozenset({"host:web-1"}), 10)
    kept, _, _ = await stand.log.read(0, frozenset({"host:web-2"}), 10)
    assert [event.data["host"] for event in kept] == ["web-2"]
    again = await stand.server()
    await again.hear(Introduction("web-1", "another"))
    assert again.labels() == {}


async def test_what_the_command_line_wishes_is_done_and_its_wish_taken_away() -> None:
    stand = Stand()
    server = await stand.server()
    for name in ("web-1", "web-2", "web-3"):
        await server.hear(Introduction(name, name))
    following = asyncio.create_task(server.fleet.follow())
    wishes = {"web-1": "retire", "web-2": "delete", "web-3": "explode", "hub": "delete"}
    for host, verb in wishes.items():
        await stand.registry.put(WISHES + host, msgspec.json.encode(Wish(verb, "ann")))
    await stand.registry.put(WISHES + "bad", b"no wish")
    async with asyncio.timeout(5):
        while await stand.registry.keys(WISHES):  # noqa: ASYNC110 - the registry tells nobody else
            await asyncio.sleep(0.01)
    following.cancel()
    assert server.state.hosts["web-1"].status is HostStatus.RETIRED
    assert "web-2" not in server.state.hosts
    assert server.state.hosts["web-3"].status is HostStatus.UP


async def test_there_are_so_many_hosts_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_module, "MOST_HOSTS", 3)
    stand = Stand()
    server = await stand.server()
    for number in range(3):
        server.fleet.require(Introduction(f"never-came-{number}"))
    with pytest.raises(InputError) as refusal:
        server.fleet.require(Introduction("web-1"))
    assert (refusal.value.status, refusal.value.code) == (400, "host_limit")
    assert refusal.value.retry_after, "who keeps its frames comes again"
    stand.now += fleet_module.COMING_SECONDS + 1
    for number in range(3):
        await server.hear(Introduction(f"web-{number}"))
    with pytest.raises(InputError):
        server.fleet.require(Introduction("web-3"))
    await server.hear(Introduction("web-0"))
    await server.fleet.delete("web-1")
    await server.hear(Introduction("web-3"))
