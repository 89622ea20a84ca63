"""Debian's nginx on a free port of loopback, as a plain process of the caller's.

It knows the folder that `tools/servers.sh` makes and what nginx needs so that it writes
nowhere but below a folder of the caller's; it knows nothing of what is served.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

SERVERS = Path(__file__).resolve().parent.parent / ".cache" / "servers"
"""Where `tools/servers.sh` unpacks Debian's packages."""

READY_SECONDS = 10.0
"""How long it may take until it listens: some tens of milliseconds on a quiet machine."""

END_SECONDS = 5.0
"""How long it may take to end; then it is killed, its worker too."""

LOOK_SECONDS = 0.02

TRIES = 3
"""A free port may be somebody else's a moment later."""

WORKER_CONNECTIONS = 16_384

NCHAN_STATE = "/var/lib/nginx"
"""nchan wants to make a folder in here, whatever its configuration says."""

_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")

_MAIN = """\
{modules}{user}daemon off;
worker_processes 1;
pid pid;
error_log stderr warn;
events {{ worker_connections {connections}; }}
http {{
access_log off;
{temporary}
{http}
}}
"""


class NotFetched(Exception):
    """`tools/servers.sh` has not been run, or could not fetch nginx."""


@dataclass(frozen=True)
class Nginx:
    """A running nginx."""

    url: str
    """`http://127.0.0.1:PORT`, without a slash at the end."""
    port: int
    pid: int
    """The master's; signals go there."""
    log: Path
    """What it wrote."""

    @property
    def workers(self) -> list[int]:
        """The processes that serve."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(pid) for pid in children.split()]


def program() -> Path:
    """The fetched nginx.  Raises `NotFetched` where there is none."""
    found = SERVERS / "usr" / "sbin" / "nginx"
    if not found.is_file():
        raise NotFetched("nginx is not there: tools/servers.sh fetches it")
    return found


def require() -> None:
    """Skip the test that asks where nginx is not there; with CI=true it fails instead."""
    try:
        program()
    except NotFetched as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))


@contextlib.contextmanager
def running(folder: Path, http: str, *, nchan: bool = False) -> Iterator[Nginx]:
    """Run nginx while the block does.

    `http` is what stands in its ``http`` block; ``PORT`` in it becomes a free port, so
    ``listen 127.0.0.1:PORT;``.  `folder` is its prefix and is made.  With `nchan` the module
    is loaded.  Raises `NotFetched`, and `AssertionError` with what it said where it ends or
    does not listen.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "error.log"
    for attempt in range(TRIES):
        port = _free_port()
        (folder / "nginx.conf").write_text(_configuration(http.replace("PORT", str(port)), nchan))
        with log.open("wb") as output:
            process = _start(folder, output, nchan=nchan)
        if _listens(process, port):
            break
        _end(process)
        said = log.read_text(errors="replace")
        if attempt + 1 == TRIES or "Address already in use" not in said:
            raise AssertionError(f"nginx never listened:\n{said}")
    try:
        yield Nginx(f"http://127.0.0.1:{port}", port, process.pid, log)
    finally:
        _end(process)


def _configuration(http: str, nchan: bool) -> str:
    module = SERVERS / "usr" / "lib" / "nginx" / "modules" / "ngx_nchan_module.so"
    return _MAIN.format(
        modules=f'load_module "{module}";\n' if nchan else "",
        # As root it would become nobody, who may not enter the caller's folder; as anybody
        # else it stays who it is, except that in a namespace of nchan's it is root again.
        user="user root root;\n" if nchan or os.geteuid() == 0 else "",
        connections=WORKER_CONNECTIONS,
        temporary="\n".join(f"{name}_temp_path temporary_{name};" for name in _TEMPORARY),
        http=http,
    )


def _start(folder: Path, output: IO[bytes], *, nchan: bool) -> subprocess.Popen[bytes]:
    line = [str(program()), "-p", f"{folder}/", "-c", "nginx.conf", "-e", "stderr"]
    if nchan and not os.access(NCHAN_STATE, os.W_OK):
        line = _with_state_folder(line)
    libraries = {str(path.parent) for path in SERVERS.rglob("lib*.so*")}
    environment = {**os.environ, "LD_LIBRARY_PATH": ":".join(sorted(libraries))}
    # A group of its own, so that a worker does not outlive a master that had to be killed.
    return subprocess.Popen(
        line,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )


def _with_state_folder(line: list[str]) -> list[str]:
    """The command in a view of the file system of its own, in which that folder exists."""
    if shutil.which("unshare") is None:
        raise NotFetched(f"nchan needs {NCHAN_STATE}, or unshare to pretend that it is there")
    mount = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-r", "-m"]
    parent = shlex.quote(str(Path(NCHAN_STATE).parent))
    made = f"mount -t tmpfs tmpfs {parent} && mkdir {shlex.quote(NCHAN_STATE)}"
    return [*mount, "sh", "-c", f"{made} && exec {shlex.join(line)}"]


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _listens(process: subprocess.Popen[bytes], port: int) -> bool:
    deadline = time.monotonic() + READY_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            # Somebody else's server would answer too: ours is still there a moment later.
            time.sleep(LOOK_SECONDS)
            return process.poll() is None
        time.sleep(LOOK_SECONDS)
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
