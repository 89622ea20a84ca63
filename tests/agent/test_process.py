"""The agent as a process.  Every name finishes the sentence "it must be that …"."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from monitor.agent.spoolfile import Bounds, SpoolFile
from tests.agent.server import FakeServer, fake_server
from tests.serving import ROOT, checkout_environment

HEAVY = {
    "apsw", "argon2", "click", "cramjam", "cryptography", "h2", "httpcore2", "httpx2", "hypercorn",
    "jinja2", "msgspec", "numpy", "opentelemetry", "pcodec", "psutil", "pydantic", "quart",
    "structlog", "zxcvbn",
}  # fmt: skip
"""What is the server's, and would be most of an agent's memory."""

MOST_ANONYMOUS_KIB = 24 * 1024
"""Memory that is the agent's own; libraries that other processes share come on top."""

_TELLING = """
import json, sys
from monitor.agent.__main__ import main
status = main(sys.argv[1:])
memory = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps([sorted(sys.modules), int(memory["RssAnon"].split()[0])]))
sys.exit(status)
"""


async def _started(
    folder: Path, *arguments: str, line: tuple[str, ...] = ("-m", "monitor.agent")
) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *line,
        *arguments,
        cwd=folder,
        env=checkout_environment(),
        stdout=PIPE,
        stderr=PIPE,
    )


@contextlib.asynccontextmanager
async def _agent(folder: Path, server: FakeServer, *arguments: str) -> AsyncIterator[Process]:
    """An agent of five frames a second."""
    config = folder / "agent.toml"
    config.write_text('[agent]\nname = "web-1"\n[collect]\ninterval = "200ms"\n')
    url = f"http://127.0.0.1:{server.port}"
    process = await _started(
        ROOT, "--config", str(config), "--server", url, "--spool", str(folder / "spool"), *arguments
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_it_is_light_and_ends_when_told(tmp_path: Path) -> None:
    async with fake_server() as server:
        url = f"http://127.0.0.1:{server.port}"
        process = await _started(
            ROOT, "--server", url, "--spool", str(tmp_path), line=("-c", _TELLING)
        )
        await server.until(lambda: len(server.frames) >= 2)
        process.send_signal(signal.SIGTERM)
        out, error = await process.communicate()
        assert process.returncode == 0, error.decode()
        assert server.goodbyes == 1
        modules, anonymous = json.loads(out)
        assert {name.partition(".")[0] for name in modules} & HEAVY == set()
        assert "monitor.agent.sender" in modules
        assert anonymous < MOST_ANONYMOUS_KIB
        info = server.documents[0]["info"]
        assert info["interval"] == 1.0
        assert info["ephemeral"] is False
        assert {"version", "kernel", "arch", "python"} <= set(info)
        keys = next(iter(server.schemas.values()))
        assert "system.cpu.utilization" in keys
        assert "monitor.agent.frames.waiting" in keys
        assert "processes" in server.documents[0]["snapshots"]
        lines = error.decode().splitlines()
        assert len(lines) == 3, lines
        assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ INFO ", line) for line in lines)


async def test_killed_it_has_lost_nothing(tmp_path: Path) -> None:
    """With a server that takes, one that is silent, and none."""
    collected: set[float] = set()
    async with fake_server() as server:
        for state in ("takes", "silent", "none", "takes"):
            server.is_silent = state == "silent"
            if state == "none":
                await server.close()
            elif server._server is None:
                await server.open()
            async with _agent(tmp_path, server) as process:
                if state == "none":
                    await asyncio.sleep(1.2)
                else:
                    seen = len(server.frames)
                    await server.until(lambda seen=seen: len(server.frames) >= seen + 4)  # type: ignore[misc]
                process.kill()
                await process.wait()
            spool = SpoolFile(tmp_path / "spool", Bounds(10**9, 86_400.0))
            first, last = spool.numbers()
            while last and (part := spool.read(first, last, 1000)):
                collected |= {each.at for each in part}
                first = part[-1].number + 1
            spool.close()
        server.is_silent = False
        async with _agent(tmp_path, server):
            await server.until(lambda: collected <= set(server.frames))
        assert len(collected) >= 5
        assert len({document["boot_id"] for document in server.documents}) >= 3
        assert len({document["agent"] for document in server.documents}) == 1


async def test_an_outage_leaves_no_gap_and_live_frames_come_at_once(tmp_path: Path) -> None:
    async with fake_server() as server, _agent(tmp_path, server) as process:
        await server.until(lambda: len(server.frames) >= 3)
        await server.close()
        await asyncio.sleep(1.2)
        back = len(server.documents)
        await server.open()
        await server.until(lambda: len(server.frames) >= 14)
        process.terminate()
        assert await process.wait() == 0
        assert any(len(each["frames"]) > 1 for each in server.documents[back:] if "frames" in each)
        # Whatever was collected was acknowledged: nothing is left, and nothing was let go of.
        spool = SpoolFile(tmp_path / "spool", Bounds(10**8, 86_400.0))
        assert spool.numbers() == (0, 0)
        spool.close()


async def test_a_stop_is_heard_while_nobody_answers(tmp_path: Path) -> None:
    async with fake_server() as server:
        server.is_silent = True
        async with _agent(tmp_path, server) as process:
            await server.until(lambda: len(server.documents) >= 2)
            process.send_signal(signal.SIGINT)
            async with asyncio.timeout(10):
                assert await process.wait() == 0


@pytest.mark.parametrize("face", ["monitor", "monitor.agent"])
async def test_both_commands_are_the_same_program(tmp_path: Path, face: str) -> None:
    line = ("-m", "monitor", "agent") if face == "monitor" else ("-m", face)
    process = await _started(tmp_path, "--config", "missing.toml", line=line)
    _, error = await process.communicate()
    assert process.returncode == 78
    assert "missing.toml: cannot be read" in error.decode()
    process = await _started(tmp_path, "--help", line=line)
    out, _ = await process.communicate()
    assert process.returncode == 0
    assert b"usage: monitor agent" in out


async def test_the_folder_it_is_started_in_cannot_stand_in_for_its_parts(tmp_path: Path) -> None:
    (tmp_path / "sqlite3.py").write_text("raise SystemExit(99)")
    (tmp_path / "monitor").mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "monitor", "agent", "--server", "http://[::1]:1",
        "--spool", "/dev/null/spool",
        cwd=tmp_path, env=environment, stdout=PIPE, stderr=PIPE,
    )  # fmt: skip
    _, error = await process.communicate()
    assert process.returncode == 1, error
    assert b"the spool /dev/null/spool cannot be used" in error


async def test_a_spool_in_use_is_said(tmp_path: Path) -> None:
    held = SpoolFile(tmp_path, Bounds(10**8, 86_400.0))
    process = await _started(ROOT, "--server", "http://[::1]:1", "--spool", str(tmp_path))
    _, error = await process.communicate()
    assert process.returncode == 1
    assert "another agent uses the spool" in error.decode()
    held.close()
