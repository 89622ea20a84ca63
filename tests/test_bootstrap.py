"""How the program starts, and how it ends when something goes wrong."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from monitor import bootstrap
from monitor.config import Settings
from monitor.errors import StartError
from monitor.log.memory import MemoryLog
from monitor.log.memory_registry import MemoryRegistry
from monitor.store.memory import MemoryStore
from monitor.web import server as web_server
from monitor.web.config import ServerConfig
from tests import serving
from tests.conftest import StartServer

Fault = Callable[[bootstrap.Application], Coroutine[Any, Any, None]]


def say(*options: str) -> tuple[int, list[str]]:
    """Run `monitor serve` where it must end by itself: its exit status and what it said."""
    done = subprocess.run(
        [*serving.checkout_command(), "serve", *options],
        env=serving.checkout_environment(),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    return done.returncode, (done.stdout + done.stderr).splitlines()


def test_a_second_server_on_the_same_data_says_in_one_line_who_has_it(
    start_server: StartServer,
) -> None:
    first = start_server()
    status, said = say("--listen", "127.0.0.1:0", "--data", str(first.data))
    assert status == 1
    assert len(said) == 1
    assert f"in use by process {first.process.pid}" in said[0]


def test_a_busy_port_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, said = say("--listen", f"127.0.0.1:{port}", "--data", str(tmp_path))
    assert status == 1
    assert len(said) == 1
    assert f"127.0.0.1:{port} is in use" in said[0]


def test_a_data_directory_that_is_a_file_is_one_clear_line(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    status, said = say("--listen", "127.0.0.1:0", "--data", str(file))
    assert (status, len(said)) == (1, 1)
    assert "Not a directory" in said[0]


def test_an_address_others_could_reach_is_refused_with_the_reason(tmp_path: Path) -> None:
    status, said = say("--listen", "0.0.0.0:0", "--data", str(tmp_path))
    assert (status, len(said)) == (78, 1)
    assert said[0].endswith("make the first one: monitor user create NAME --role admin")


def test_data_are_for_their_owner_alone(start_server: StartServer) -> None:
    server = start_server()
    assert server.data.stat().st_mode & 0o777 == 0o700
    assert (server.data / "lock").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_end_it_in_order_and_a_second_one_changes_nothing(
    start_server: StartServer, number: signal.Signals
) -> None:
    server = start_server()
    began = time.monotonic()
    server.process.send_signal(number)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(5) == 0
    assert time.monotonic() - began < 2


def test_sigterm_ends_it_even_where_its_parent_ignored_that(tmp_path: Path) -> None:
    shell = ["sh", "-c", 'trap "" TERM HUP; exec "$@"', "sh"]
    server = serving.start(tmp_path, command=[*shell, *serving.checkout_command()])
    server.process.send_signal(signal.SIGHUP)  # as under nohup
    time.sleep(0.3)
    assert server.process.poll() is None
    assert server.end() == 0


def test_the_lock_is_free_after_a_kill(start_server: StartServer, tmp_path: Path) -> None:
    killed = serving.start(tmp_path / "killed")
    killed.process.kill()
    killed.process.wait()
    again = start_server("--data", str(killed.data))
    assert again.url


def made() -> bootstrap.Application:
    """An application whose log and history are in memory."""
    registry = MemoryRegistry()
    return bootstrap.Application(Settings(), MemoryLog(registry), registry, MemoryStore())


async def run(application: bootstrap.Application) -> int:
    """Run a whole application in this process until it ends by itself."""
    listening = web_server.listener("127.0.0.1", 0)
    return await asyncio.wait_for(application.run(listening), 20)


async def fail(application: bootstrap.Application) -> None:
    raise RuntimeError("a fault that nobody foresaw")


async def end_quietly(application: bootstrap.Application) -> None:
    return None


@pytest.mark.parametrize("fault", [fail, end_quietly])
@pytest.mark.parametrize(
    "task", ["_runner.run", "_judge", "_keep", "_trim", "_hub._flush", "_hub._follow"]
)
async def test_a_task_that_ends_ends_the_server_which_would_show_old_numbers(
    monkeypatch: pytest.MonkeyPatch, task: str, fault: Fault
) -> None:
    application = made()
    owner, name = application, task
    if "." in task:
        room, name = task.split(".")
        owner = getattr(application, room)
    monkeypatch.setattr(owner, name, lambda: fault(application))
    assert await run(application) == 1


async def test_a_host_that_gives_no_frame_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bootstrap, "READY_SECONDS", 0.2)
    application = made()
    monkeypatch.setattr(application._runner, "run", asyncio.Event().wait)
    with pytest.raises(StartError, match="no frame of this host"):
        await run(application)


@pytest.mark.parametrize(
    ("named", "is_open", "is_warned"),
    [
        ({}, True, False),
        ({"listen": "localhost:0"}, True, False),
        ({"listen": "[::1]:0", "allowed_hosts": ("127.0.0.1",)}, True, False),
        ({"allowed_hosts": ("mon.lan",)}, True, True),
        ({"public_url": "https://mon.example.com"}, True, True),
        ({"allowed_hosts": ("mon.lan",)}, False, False),
    ],
)
def test_names_that_may_let_others_in_are_warned_of_and_no_others(
    named: dict[str, Any], is_open: bool, is_warned: bool, tmp_path: Path
) -> None:
    """It must be that a server as it comes is not complained of."""
    settings = Settings(server=ServerConfig(**named))
    said = [*bootstrap._unwise(settings, tmp_path, is_open=is_open)]
    assert any("names beside loopback's" in each for each in said) is is_warned
