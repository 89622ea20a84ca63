"""`monitor host`: what it shows and does, beside a running server and without one."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from click.testing import CliRunner, Result

from monitor.__main__ import main
from monitor.collect.config import default_host_name
from monitor.log.sqlite import open_log
from monitor.ports import Gap
from tests import serving


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working folder, and no configuration of the machine."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("monitor.config.settings.SYSTEM_CONFIG", tmp_path / "none.toml")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[serving.Server]:
    """A server to which three hosts have pushed."""
    server = serving.start(tmp_path)
    try:
        for name in ("web-1", "web-2", "db-1"):
            push(server, name)
        yield server
    finally:
        if server.process.poll() is None:
            server.process.terminate()
            server.process.wait(10)


def push(server: serving.Server, name: str, agent: str = "first") -> int:
    """A frame of a host, as its agent sends it; the answer's status."""
    document = {
        "host": name,
        "agent": agent,
        "boot_id": f"{agent}-{time.time_ns()}",
        "seq": 1,
        "info": {"version": "1.2.3", "os": "Debian"},
        "labels": {"role": name[:2]},
        "schema": ["app.x"],
        "frames": [{"at": time.time(), "values": [1.0]}],
    }
    request = urllib.request.Request(
        f"{server.url}/api/v1/push",
        json.dumps(document).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def hosts(server: serving.Server) -> dict[str, str]:
    """What the server's API says: statuses by name."""
    with urllib.request.urlopen(f"{server.url}/api/v1/hosts", timeout=10) as answer:
        return {each["host"]: each["status"] for each in json.load(answer)}


def run(server: serving.Server, *arguments: str) -> Result:
    """The command, in this process."""
    return CliRunner().invoke(main, ["host", *arguments, "--data", str(server.data)])


def done(server: serving.Server, *arguments: str) -> Result:
    """The same, and it went well."""
    result = run(server, *arguments)
    assert result.exit_code == 0, result.output
    return result


def listed(server: serving.Server) -> dict[str, Any]:
    """What `monitor host list` says, by name."""
    return {each["name"]: each for each in json.loads(done(server, "list", "--json").stdout)}


def audited(server: serving.Server) -> list[tuple[str, str]]:
    """What the audit trail has of hosts: action and target."""

    async def work() -> list[tuple[str, str]]:
        log, registry = await open_log(server.data)
        try:
            try:
                events, _, _ = await log.read(0, None, 1_000)
            except Gap as gap:  # what lies before was erased
                events, _, _ = await log.read(gap.floor, None, 1_000)
            found: list[tuple[str, str]] = []
            for event in events:
                details: Any = event.data.get("details")
                if isinstance(details, dict) and str(details["action"]).startswith("host."):
                    found.append((details["action"], details["target"]))
            return found
        finally:
            await log.close()
            await registry.close()

    return asyncio.run(work())


def stop(server: serving.Server) -> None:
    """End the server in good order."""
    server.process.terminate()
    assert server.process.wait(10) == 0


def test_beside_a_running_server(served: serving.Server) -> None:
    """It must be that the server does what is asked for, and has when the command returns."""
    table = done(served, "list").stdout
    assert table.splitlines()[0].split() == ["NAME", "STATUS", "SINCE", "VERSION", "LABELS"]
    assert [line.split()[0] for line in table.splitlines()[1:]] == sorted(hosts(served))
    web = listed(served)["web-1"]
    assert (web["status"], web["agent"], web["labels"]) == ("up", "first", {"role": "we"})
    assert web["info"] == {"version": "1.2.3", "os": "Debian"}

    assert done(served, "retire", "web-1").stdout == "web-1 is retired until it sends again\n"
    assert hosts(served)["web-1"] == "retired"
    assert listed(served)["web-1"]["status"] == "retired"
    assert audited(served)[-1:] == [("host.retire", "web-1")]

    assert push(served, "web-2", agent="second") == 409
    done(served, "adopt", "web-2")
    assert push(served, "web-2", agent="second") == 200
    assert push(served, "web-2", agent="first") == 409

    done(served, "delete", "db-1", "web-2")
    assert "db-1" not in hosts(served)
    assert "web-2" not in hosts(served)
    assert audited(served)[-1:] == [("host.delete", "web-2")]
    assert push(served, "db-1") == 200
    assert hosts(served)["db-1"] == "up"


def test_without_a_server(served: serving.Server) -> None:
    """It must be that the command does it itself, and a server that comes back knows."""
    stop(served)
    assert "version      1.2.3" in done(served, "show", "web-1").stdout
    done(served, "retire", "web-1")
    done(served, "adopt", "web-2")
    done(served, "delete", "db-1")
    assert listed(served)["web-1"]["status"] == "retired"
    assert "db-1" not in listed(served)
    assert audited(served)[-1:] == [("host.delete", "db-1")]
    with apsw.Connection(str(served.data / "series.db")) as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM hosts")}
    connection.close()
    assert {"web-1", "web-2"} <= names
    assert "db-1" not in names
    again = serving.start(served.data.parent)
    try:
        found = hosts(again)
        assert found["web-1"] == "retired"
        assert "db-1" not in found
        assert push(again, "web-2", agent="second") == 200
    finally:
        again.process.terminate()
        again.process.wait(10)


def test_what_is_refused(tmp_path: Path) -> None:
    """It must be that nothing is done to a host that is not there, or is the server's own."""
    for arguments, said in (
        (("retire", "nobody"), "there is no host nobody"),
        (("delete", "../x"), "there is no host ../x"),
        (("show", "nobody"), "there is no host nobody"),
        (("delete", default_host_name()), "is the host that the server runs on"),
        (("retire", default_host_name()), "is the host that the server runs on"),
    ):
        result = CliRunner().invoke(main, ["host", *arguments, "--data", str(tmp_path / "data")])
        assert result.exit_code == 1, result.output
        assert said in result.output
        assert "Traceback" not in result.output
    assert CliRunner().invoke(main, ["host", "retire"]).exit_code == 2
