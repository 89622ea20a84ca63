"""Simulated hosts: it must be that ..."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgpack  # type: ignore[import-untyped]
import pytest
from websockets.asyncio.server import ServerConnection, serve

from monitor.agent.link import Link
from monitor.agent.place import Place
from monitor.agent.simulate import Simulation, hosts, parse_faults, run
from monitor.agent.simulated import FAULTS, SKEW_SECONDS, SimulatedHost
from monitor.agent.simulated_roles import ROLES, busyness
from monitor.agent.simulated_sender import Sender, Shape
from monitor.agent.trust import Trust
from monitor.core import catalog
from monitor.core.catalog import Kind
from monitor.errors import ConfigError
from monitor.ingest.names import key as require_key
from tests import serving

MONDAY = 1_795_392_000.0
"""Midnight, UTC, of a Monday."""

KINDS = {metric.name: metric.kind for metric in catalog.METRICS}


def row(host: SimulatedHost, at: float) -> dict[str, float]:
    return dict(zip(host.keys, host.values(at), strict=True))


@pytest.mark.parametrize("fault", ["", *FAULTS])
def test_a_frame_is_one_that_a_real_host_could_have_sent(fault: str) -> None:
    """It must be that names are the catalog's, ratios are ratios, and counters only grow."""
    host = SimulatedHost(7, MONDAY, fault)
    assert 140 <= len(host.keys) <= 160
    assert len(set(host.keys)) == len(host.keys)
    for key in host.keys:
        require_key(key, "schema")
    before = row(host, MONDAY + 11)
    for step in range(2, 400):
        now = row(host, MONDAY + step * 11)
        for key, value in now.items():
            name = key.partition("{")[0]
            assert value >= 0 or name == "system.clock.offset"
            if KINDS[name] is Kind.COUNTER:
                assert value >= before[key], key
            if name.endswith("utilization"):
                assert value <= 1, key
        busy = sum(
            now[f'system.cpu.time{{cpu="{cpu}",state="{state}"}}']
            - before[f'system.cpu.time{{cpu="{cpu}",state="{state}"}}']
            for cpu in range(4)
            for state in ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
        )
        assert busy == pytest.approx(44, rel=0.02), "a second of a processor is a second"
        before = now


def test_the_same_seed_makes_the_same_hosts() -> None:
    first, again = (hosts(20, {}, MONDAY, seed=3) for _ in range(2))
    other = hosts(20, {}, MONDAY, seed=4)
    rows = [[host.values(MONDAY + 5) for host in fleet] for fleet in (first, again, other)]
    assert rows[0] == rows[1] != rows[2]
    assert [host.name for host in first][:2] == ["sim-0001", "sim-0002"]
    assert len({host.labels["role"] for host in first}) > 2


def test_a_day_goes_as_its_role_says() -> None:
    """It must be that people come by day, batches run at night, and Sundays are quieter."""
    roles = {role.name: role for role in ROLES}
    at = {hour: MONDAY + hour * 3_600 for hour in (3, 14)}
    assert busyness(roles["web"], at[14]) > 3 * busyness(roles["web"], at[3])
    assert busyness(roles["batch"], at[3]) > 3 * busyness(roles["batch"], at[14])
    sunday = at[14] - 86_400
    assert busyness(roles["web"], sunday) < busyness(roles["web"], at[14])


def test_faults_do_what_they_are_called() -> None:
    """It must be that each of them can be seen within the hour."""

    def most(fault: str, key: str) -> float:
        host = SimulatedHost(1, MONDAY, fault)
        return max(row(host, MONDAY + 30 * step)[key] for step in range(1, 120))

    disk = 'system.filesystem.utilization{mountpoint="/srv"}'
    assert most("disk", disk) > 0.99
    assert most("", disk) < 0.9
    assert most("cpu", "system.cpu.utilization") > 0.98
    assert most("memory", "system.memory.utilization") > 0.96
    assert most("memory", "system.memory.oom_kills") >= 2
    assert most("", "system.memory.oom_kills") == 0
    assert SimulatedHost(1, MONDAY, "skew").clock(MONDAY) == MONDAY + SKEW_SECONDS
    for fault, silent in (("", 0), ("silent", 300), ("flap", 420)):
        host = SimulatedHost(1, MONDAY, fault)
        assert sum(host.is_silent(MONDAY + second) for second in range(900)) == silent


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("disk=3", {"disk": 3}),
        ("disk=3, cpu", {"disk": 3, "cpu": 2}),
        ("all", dict.fromkeys(FAULTS, 2)),
    ],
)
def test_faults_are_asked_for_by_name_and_number(text: str, found: dict[str, int]) -> None:
    assert parse_faults(text, 200) == found
    fleet = hosts(200, found, MONDAY)
    assert {name: sum(h.fault == name for h in fleet) for name in found} == found


@pytest.mark.parametrize("text", ["", "x", "disk=0", "disk=-1", "disk=201", "disk,disk", "disk=²"])
def test_what_is_no_fault_is_told(text: str) -> None:
    with pytest.raises(ValueError, match=r"faults are|expected a number"):
        parse_faults(text, 200)


def test_numbers_that_cannot_be_meant_are_told() -> None:
    place = Place.parse("http://127.0.0.1:1")
    link = Link(place, Trust(place), lambda: None)
    with pytest.raises(ConfigError, match="--faults: faults are some of"):
        run(link, 3, "floods")
    with pytest.raises(ValueError, match="more are to have faults"):
        parse_faults("disk=2,cpu=2", 3)


def test_a_document_says_what_the_host_is() -> None:
    """It must be that the packed parts are the document that the protocol asks for."""
    (host, twin) = (SimulatedHost(4, MONDAY), SimulatedHost(4, MONDAY))
    sender = Sender(host, Shape(host.keys), "http://x", 1.0)
    first = msgpack.unpackb(sender.document(MONDAY + 1))
    second = msgpack.unpackb(sender.document(MONDAY + 2))
    assert first["schema"] == list(host.keys)
    assert second["schema"].startswith("sha256:")
    assert first["frames"] == [{"at": MONDAY + 1, "values": twin.values(MONDAY + 1)}]
    assert [first["seq"], second["seq"]] == [1, 2]
    assert first["labels"] == dict(host.labels)
    assert first["info"]["interval"] == 1.0
    assert "labels" not in second
    assert {row["name"] for row in first["snapshots"]["processes"]} >= {"systemd", "cron"}
    assert "snapshots" not in second
    assert {key: first[key] for key in ("host", "agent", "boot_id")} == {
        key: second[key] for key in ("host", "agent", "boot_id")
    }
    again = Sender(host, Shape(host.keys), "http://x", 1.0)
    bye = msgpack.unpackb(again.goodbye())
    assert bye == {
        "host": "sim-0004", "agent": first["agent"], "boot_id": bye["boot_id"], "bye": True
    }  # fmt: skip
    assert bye["boot_id"] != first["boot_id"]


class Peer:
    """A server that acknowledges everything but the first schema that comes by digest."""

    def __init__(self) -> None:
        self.heard: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        self.moved = asyncio.Event()

    async def serve(self, connection: ServerConnection) -> None:
        async for message in connection:
            said = msgpack.unpackb(message)
            self.heard[said["host"]].append(said)
            self.moved.set()
            if "bye" in said:
                continue
            place = [said["boot_id"], said["seq"]]
            if said["seq"] == 2:
                answer: dict[str, Any] = {"refused": [[*place, {"code": "unknown_schema"}]]}
            else:
                answer = {"ack": [place]}
            await connection.send(msgpack.packb(answer))

    async def until(self, count: int) -> None:
        while sum(len(each) for each in self.heard.values()) < count:
            await self.moved.wait()
            self.moved.clear()


@asynccontextmanager
async def peer() -> AsyncIterator[tuple[Peer, Link]]:
    found = Peer()
    async with serve(found.serve, "127.0.0.1", 0, compression=None) as server:
        place = Place.parse(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        yield found, Link(place, Trust(place), lambda: None)


async def test_a_fleet_speaks_and_says_goodbye() -> None:
    """It must be that every host is heard in its turn, and each leaves in order."""
    lines: list[str] = []
    async with asyncio.timeout(20), peer() as (server, link):
        fleet = hosts(12, {"duplicate": 1}, MONDAY)
        simulation = Simulation(link, fleet, 0.05, lines.append)
        running = asyncio.create_task(simulation.run())
        await server.until(12 * 6)
        simulation.stop()
        await running
    assert set(server.heard) == {host.name for host in fleet}
    for name, said in server.heard.items():
        assert said[-1].get("bye"), name
        numbers = [each["seq"] for each in said[:-1]]
        assert numbers == sorted(numbers)
        repeats = len(numbers) - len(set(numbers))
        assert (repeats > 0) is (name == "sim-0001"), "only one of them stutters"
        assert isinstance(said[0]["schema"], list)
        lists = [each["seq"] for each in said[:-1] if isinstance(each["schema"], list)]
        assert lists[-1] > 2, "the list is said again where it is asked for"
    assert simulation.acknowledged > 0
    assert simulation.sent >= simulation.acknowledged


async def test_silence_is_a_cut_and_no_goodbye() -> None:
    """It must be that a host which falls silent leaves as a dead one does, and comes back."""
    now = MONDAY
    async with asyncio.timeout(20), peer() as (server, link):
        fleet = hosts(2, {"silent": 1}, MONDAY)
        simulation = Simulation(link, fleet, 0.02, print, lambda: now)
        running = asyncio.create_task(simulation.run())
        await server.until(8)
        simulation.stop()
        await running
        assert server.heard["sim-0001"][-1].get("bye")
        server.heard.clear()
        now = MONDAY + 200.0
        again = Simulation(link, fleet, 0.02, print, lambda: now)
        running = asyncio.create_task(again.run())
        await server.until(8)
        again.stop()
        await running
    assert set(server.heard) == {"sim-0002"}


def test_a_real_server_has_the_whole_fleet(tmp_path: Path) -> None:
    """It must be that the command makes hosts of a server, and leaves them on Ctrl-C with 0."""
    server = serving.start(tmp_path)
    program = [sys.executable, "-m", "monitor.agent", "--server", server.url]
    log = tmp_path / "fleet.log"
    with log.open("wb") as output:
        fleet = subprocess.Popen(
            [*program, "--simulate", "6", "--faults", "skew=1,duplicate=1"],
            env=serving.checkout_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wanted = {f"sim-{number:04d}" for number in range(1, 7)}
        deadline = time.monotonic() + 20
        found: dict[str, dict[str, Any]] = {}
        while not wanted <= set(found) and time.monotonic() < deadline:
            with urllib.request.urlopen(f"{server.url}/api/v1/hosts", timeout=10) as reply:
                found = {each["host"]: each for each in json.load(reply) if each["at"]}
            time.sleep(0.1)
        assert wanted <= set(found), log.read_text()
        assert {each["status"] for each in found.values()} == {"up"}
        assert abs(found["sim-0001"]["skew_seconds"]) == pytest.approx(SKEW_SECONDS, abs=5)
        fleet.send_signal(signal.SIGINT)
        assert fleet.wait(10) == 0, log.read_text()
    finally:
        fleet.kill()
        fleet.wait()
        assert server.end() == 0
    assert "all have said goodbye" in log.read_text()
    assert "refused" not in log.read_text()
