"""Programs that tell of this machine once a second: our agent, and four others beside it.

Each runs below a folder of its own, as plain processes of this one's, bound to loopback; they are
those of Debian's packages and of PyPI with their defaults, but for where they write and that
they read each second.
"""

from __future__ import annotations

import contextlib
import csv
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.door.house import House, host
from tests.nginx import SERVERS
from tests.serving import checkout_environment

READY_SECONDS = 20.0
LOOK_SECONDS = 0.1
END_SECONDS = 10.0

COLLECTD_PLUGINS = (
    *("battery", "cpu", "df", "disk", "entropy", "interface", "irq", "load", "memory"),
    *("processes", "swap", "users"),
)
"""Those that Debian's own configuration loads and that read the host."""


class NotThere(Exception):
    """A program that is not to be had here."""


@dataclass(frozen=True)
class Program:
    """One that runs."""

    name: str
    pid: int
    series: Callable[[], int]
    """How many numbers it tells of this machine each time."""

    @property
    def pids(self) -> list[int]:
        """Its processes: this one and what it started."""
        return list(_family(self.pid))


def _family(pid: int) -> Iterator[int]:
    yield pid
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _family(int(child))


@contextlib.contextmanager
def _running(
    line: list[str], folder: Path, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "output.log").open("wb") as output:
        process = subprocess.Popen(
            line,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield process
        if process.poll() is not None:
            said = (folder / "output.log").read_text(errors="replace")[-1_000:]
            print(f"{line[0]} ended by itself:\n{said}", file=sys.stderr)
    finally:
        process.terminate()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def ours(
    name: str, module: list[str], folder: Path, server: House, number: int
) -> Iterator[Program]:
    """Our agent, pushing to a server as its host of this number; `module` is how it is called."""
    folder.mkdir(parents=True, exist_ok=True)
    token = folder / "token"
    token.touch(0o600)
    token.write_text(server.credentials.agents[number] + "\n")
    line = [sys.executable, "-m", *module, "--server", f"http://127.0.0.1:{server.port}"]
    line += ["--token-file", str(token), "--spool", str(folder / "spool"), "--name", host(number)]

    def series() -> int:
        token = server.credentials.readers[0]
        return len(asked(server.port, f"/api/v1/hosts/{host(number)}/series", token))

    with _running(line, folder, checkout_environment()) as process:
        until = time.monotonic() + READY_SECONDS
        while time.monotonic() < until and process.poll() is None:
            with contextlib.suppress(OSError, KeyError, TypeError):
                if series():
                    break
            time.sleep(LOOK_SECONDS)
        else:
            said = (folder / "output.log").read_text(errors="replace")[-2_000:]
            raise NotThere(f"{name} did not bring anything:\n{said}")
        yield Program(name, process.pid, series)


@contextlib.contextmanager
def node_exporter(folder: Path) -> Iterator[Program]:
    """Debian's, scraped once a second by a client that throws away what it reads."""
    found = next(SERVERS.rglob("usr/bin/prometheus-node-exporter"), None)
    if found is None:
        raise NotThere("node_exporter is not there: `sh tools/servers.sh bench` fetches it")
    port = free_port()
    line = [str(found), f"--web.listen-address=127.0.0.1:{port}"]

    def series() -> int:
        lines = read(port, "/metrics").splitlines()
        return sum(not each.startswith(b"#") for each in lines)

    with _running(line, folder) as process:
        _wait(process, lambda: read(port, "/metrics"))
        with _scraped(port):
            yield Program("node_exporter 1.5, scraped", process.pid, series)


@contextlib.contextmanager
def _scraped(port: int) -> Iterator[None]:
    ending = threading.Event()

    def scrape() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        while not ending.wait(1.0):
            with contextlib.suppress(OSError, http.client.HTTPException):
                connection.request("GET", "/metrics")
                connection.getresponse().read()

    thread = threading.Thread(target=scrape, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()


@contextlib.contextmanager
def collectd(folder: Path, *, writes: bool) -> Iterator[Program]:
    """Debian's default plugins that read the host, to CSV files or to nobody."""
    home = SERVERS / "collectd"
    if not (home / "usr/sbin/collectd").is_file():
        raise NotThere("collectd is not there: `sh tools/servers.sh bench` fetches it")
    folder.mkdir(parents=True, exist_ok=True)
    values = folder / "csv"
    config = folder / "collectd.conf"
    loaded = "\n".join(f"LoadPlugin {each}" for each in COLLECTD_PLUGINS)
    if writes:
        # Below BaseDir: it makes no folder in one whose name begins with a dot.
        loaded += f'\nLoadPlugin csv\n<Plugin csv>\nDataDir "{values.name}"\n</Plugin>'
    config.write_text(
        f'FQDNLookup false\nHostname "bench"\nInterval 1\nBaseDir "{folder}"\n'
        f'PIDFile "{folder / "pid"}"\nPluginDir "{home / "usr/lib/collectd"}"\n'
        f'TypesDB "{home / "usr/share/collectd/types.db"}"\n{loaded}\n'
    )

    def series() -> int:
        heads = [path.open().readline() for path in values.rglob("*") if path.is_file()]
        return sum(head.count(",") for head in heads)

    line = [str(home / "usr/sbin/collectd"), "-f", "-C", str(config)]
    with _running(line, folder, _with_libraries(home)) as process:
        yield Program(
            f"collectd 5.12, {'csv' if writes else 'written nowhere'}", process.pid, series
        )


@contextlib.contextmanager
def netdata(folder: Path) -> Iterator[Program]:
    """Debian's netdata-core with its defaults, without statsd, cloud, registry and statistics."""
    home = SERVERS / "netdata"
    if not (home / "usr/sbin/netdata").is_file():
        raise NotThere("netdata is not there: `sh tools/servers.sh bench` fetches it")
    port = free_port()
    for each in ("etc", "log", "cache", "lib/cloud.d", "home"):
        (folder / each).mkdir(parents=True)
    (folder / "etc/.opt-out-from-anonymous-statistics").touch()
    (folder / "lib/cloud.d/cloud.conf").write_text("[global]\n    enabled = no\n")
    stock = home / "usr/lib/netdata"
    user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    (folder / "etc/netdata.conf").write_text(
        f"[global]\n    run as user = {user}\n    hostname = bench\n"
        f"[directories]\n    config = {folder}/etc\n    stock config = {stock}/conf.d\n"
        f"    log = {folder}/log\n    cache = {folder}/cache\n    lib = {folder}/lib\n"
        f"    home = {folder}/home\n    plugins = {stock}/plugins.d\n"
        f"    web = {folder}/home\n    registry = {folder}/lib\n"
        f"    health config = {folder}/etc\n    stock health config = {stock}/conf.d/health.d\n"
        f"[web]\n    bind to = 127.0.0.1\n    default port = {port}\n"
        "[registry]\n    enabled = no\n[statsd]\n    enabled = no\n"
    )

    def series() -> int:
        charts = json.loads(read(port, "/api/v1/allmetrics?format=json"))
        return sum(len(chart["dimensions"]) for chart in charts.values())

    line = [str(home / "usr/sbin/netdata"), "-D", "-c", str(folder / "etc/netdata.conf")]
    with _running(line, folder, _with_libraries(home)) as process:
        _wait(process, lambda: read(port, "/api/v1/info"))
        yield Program("netdata 1.37", process.pid, series)


@contextlib.contextmanager
def glances(folder: Path) -> Iterator[Program]:
    """The one of PyPI, writing CSV and showing nothing."""
    found = shutil.which("glances", path=str(Path(sys.executable).parent))
    if found is None:
        raise NotThere("glances is missing: make bench installs it")
    columns = folder / "glances.csv"
    line = [found, "--quiet", "-t", "1", "--disable-check-update", "--export", "csv"]
    line += ["--export-csv-file", str(columns)]

    def series() -> int:
        with columns.open(newline="") as file:
            return len(next(csv.reader(file), []))

    with _running(line, folder) as process:
        yield Program("glances 4.5, csv", process.pid, series)


def _with_libraries(home: Path) -> dict[str, str]:
    libraries = {str(path.parent) for path in home.rglob("lib*.so*")}
    return {**os.environ, "LD_LIBRARY_PATH": ":".join(sorted(libraries))}


def _wait(process: subprocess.Popen[bytes], answers: Callable[[], object]) -> None:
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            answers()
            return
        time.sleep(LOOK_SECONDS)
    raise NotThere(f"{process.args!r} does not answer")


def read(port: int, path: str, token: str = "") -> bytes:
    """What a server on loopback answers with 200; `OSError` else."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise OSError(f"{path}: {answer.status} {body[:200]!r}")
        return body
    finally:
        connection.close()


def asked(port: int, path: str, token: str = "") -> list[dict[str, object]]:
    """The same, as the list in JSON that it is."""
    found: list[dict[str, object]] = json.loads(read(port, path, token))
    return found


def free_port() -> int:
    """A port that nobody listens on, a moment ago."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
