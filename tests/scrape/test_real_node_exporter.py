"""Debian's node_exporter, polled: its host has the page that an agent's has, and comes and goes."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from pathlib import Path

from monitor.core.headline import HEADLINE_KEYS
from monitor.model import HostStatus, key
from monitor.scrape.config import ScrapeConfig
from tests.conftest import StartServer
from tests.scrape import node
from tests.scrape.house import House, Polling

HOST = "127.0.0.1"

WANTED = (
    "system.cpu.utilization",
    key("system.cpu.utilization", cpu="0"),
    key("system.cpu.utilization", state="user"),
    "system.cpu.logical.count",
    "system.cpu.context_switches",
    "system.memory.limit",
    "system.memory.utilization",
    key("system.memory.usage", state="used"),
    key("system.memory.usage", state="cached"),
    "system.cpu.load_average.1m",
    "system.uptime",
    "system.boot_time",
    "system.file_descriptors.utilization",
    "system.processes.count",
    "system.tasks.count",
    key("system.network.sockets", kind="tcp.inuse"),
    key("system.network.tcp.segments", direction="receive"),
    "system.network.softnet.dropped",
    key("system.paging.faults", kind="minor"),
)
"""What every Linux machine has, in a container too."""


def memory_bytes() -> float:
    """This machine's."""
    return float(Path("/proc/meminfo").read_text().split()[1]) * 1024


def text(url: str) -> str:
    """A page as text; nothing while there is no such page."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            found: bytes = answer.read()
    except urllib.error.HTTPError as error:
        error.close()
        return ""
    return found.decode()


async def test_its_host_is_full_and_comes_and_goes(tmp_path: Path) -> None:
    house = House()
    port = node.free_port()
    config = ScrapeConfig(targets=(f"{HOST}:{port}",), interval=0.3, timeout=5.0)
    up = key("up", instance=f"{HOST}:{port}", job="node")
    log = tmp_path / "node.log"
    with node.running(port, log) as process:
        async with Polling(house, {"node": config}) as polling:
            await polling.until(lambda: HOST in house.state.hosts)
            host = house.host()
            await polling.until(lambda: host.value("system.cpu.utilization") >= 0)
            await polling.until(lambda: host.value("system.cpu.context_switches") > 0)
            absent = [text for text in WANTED if not host.value(text) >= 0]
            assert not absent
            known = {name.name for name in host.schema.keys}
            assert {"node_entropy_available_bits", "go_goroutines"} <= known
            assert not known & {"node_cpu_seconds_total", "node_memory_MemTotal_bytes"}
            assert host.snapshots["system"].rows[0]["kernel"]
            assert host.info["kernel"]
            assert host.value("system.memory.limit") == memory_bytes()
            assert abs(host.value("system.uptime") - time.clock_gettime(time.CLOCK_BOOTTIME)) < 60
            shown = sum(text in host.schema.index for text in HEADLINE_KEYS)
            assert shown >= 4
            assert host.status is HostStatus.UP
            since = host.since

            process.kill()
            process.wait()
            await polling.until(lambda: host.value(up) == 0)
            assert polling.status(HOST).code == "unreachable"
            host.seen_at -= 100.0  # as if it had been silent for so long
            await house.pipeline.tick(time.time())
            assert str(host.status) == "down"

            with node.running(port, log):
                await polling.until(lambda: host.value(up) == 1)
                await house.pipeline.tick(time.time())
                assert house.host() is host, "it is the same host"
                assert host.status is HostStatus.UP
                assert host.since > since


def test_the_page_of_a_server_that_polls_it(tmp_path: Path, start_server: StartServer) -> None:
    """It must be that a configuration of two lines gives a full page of the host."""
    port = node.free_port()
    config = tmp_path / "config.toml"
    config.write_text(
        '[host]\nname = "hub"\n'
        f'[scrape.node]\ntargets = ["{HOST}:{port}", "{HOST}:{port}/nothing"]\ninterval = "1s"\n'
    )
    with node.running(port, tmp_path / "node.log"):
        server = start_server("--config", str(config))
        until = time.monotonic() + 15
        while True:
            page = text(f"{server.url}/hosts/{HOST}")
            if "IO wait" in page or time.monotonic() > until:
                break
            time.sleep(0.1)
        for words in ("up, last heard", "Kernel: ", "Memory  ", "Load  ", "Uptime: "):
            assert words in page
        assert "(not_exposition)" in server.said()
