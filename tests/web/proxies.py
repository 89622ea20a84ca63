"""Debian's reverse proxies on a free port of loopback, each with the lines that the docs give.

It knows where `tools/servers.sh` unpacks them and what each needs around an operator's lines; what
the lines are it takes from ``docs/security.md``, and nothing in them is changed but our port.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import nginx
from tests.serving import ROOT

NAME = "mon.example.com"
"""What the docs call the server."""

OURS = "127.0.0.1:8460"
"""Where it listens in them."""

READY_SECONDS = 15.0
"""How long a proxy may take until it listens: Caddy makes an authority first, in half a second."""

LOOK_SECONDS = 0.02

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Place:
    """What a proxy is given: where it may write, where it listens, and its certificate's file."""

    folder: Path
    port: int
    certificate: Path
    """With its key."""


def section(page: str) -> str:
    """What a page of the docs says of proxies."""
    text = (ROOT / "docs" / page).read_text()
    return text.partition("\n## Behind a proxy\n")[2].partition("\n## ")[0]


def snippets(page: str) -> dict[str, str]:
    """The fenced blocks in it, by their languages."""
    return dict(_FENCE.findall(section(page)))


def lines_of(kind: str) -> str:
    """What the docs would have an operator write: for agents' WebSockets, and for all else."""
    agents, rest = "", snippets("security.md")[KINDS[kind].language if kind in KINDS else kind]
    if kind == "nginx":
        agents = snippets("deploy.md")["nginx"]
    elif kind in {"apache", "haproxy"}:
        starts = "ProxyPass" if kind == "apache" else "timeout tunnel"
        (agents,) = re.findall(rf"`({starts} [^`]+)`", section("deploy.md"))
    return f"{agents}\n{rest}"


def _modules(*names: str) -> str:
    folder = nginx.SERVERS / "apache" / "usr" / "lib" / "apache2" / "modules"
    return "".join(f"LoadModule {name}_module {folder}/mod_{name}.so\n" for name in names)


def _apache(place: Place, lines: str) -> str:
    return f"""{_modules("mpm_event", "authz_core", "ssl", "proxy", "proxy_http", "headers")}
ServerRoot {place.folder}
DefaultRuntimeDir {place.folder}
PidFile {place.folder}/pid
ErrorLog /dev/stderr
ServerName {NAME}
User #65534
Group #65534
Listen 127.0.0.1:{place.port}
<VirtualHost 127.0.0.1:{place.port}>
ServerName {NAME}
SSLEngine on
SSLCertificateFile {place.certificate}
{lines}
</VirtualHost>
"""


def _caddy(place: Place, lines: str) -> str:
    return f"""{{
    admin off
    local_certs
    skip_install_trust
    auto_https disable_redirects
    storage file_system {place.folder}/caddy
    default_bind 127.0.0.1
    https_port {place.port}
}}
{lines}
"""


def _haproxy(place: Place, lines: str) -> str:
    """With the defaults of Debian's own file."""
    return f"""defaults
mode http
timeout connect 5000
timeout client 50000
timeout server 50000
frontend https
bind 127.0.0.1:{place.port} ssl crt {place.certificate}
default_backend monitor
backend monitor
{lines}
"""


@dataclass(frozen=True)
class Kind:
    """A proxy: its snippet's language, its program, its arguments, what stands around the lines."""

    language: str
    program: str
    arguments: tuple[str, ...]
    whole: Callable[[Place, str], str]


KINDS = {
    "apache": Kind("apache", "apache/usr/sbin/apache2", ("-DFOREGROUND", "-f", "{file}"), _apache),
    "caddy": Kind(
        "caddyfile",
        "caddy/usr/bin/caddy",
        ("run", "--adapter", "caddyfile", "--config", "{file}"),
        _caddy,
    ),
    "haproxy": Kind("haproxy", "haproxy/usr/sbin/haproxy", ("-db", "-f", "{file}"), _haproxy),
}
"""All but nginx, which `tests.nginx` knows."""


def require(kind: str) -> None:
    """Skip the test where this proxy is not there; with CI=true it fails instead."""
    if kind == "nginx":
        nginx.require()
    elif not (nginx.SERVERS / KINDS[kind].program).is_file():
        missing = f"{kind} is not there: tools/servers.sh fetches it"
        if os.environ.get("CI") == "true":
            pytest.fail(missing, pytrace=False)
        pytest.skip(missing)


@contextlib.contextmanager
def running(kind: str, folder: Path, lines: str, upstream: int, certificate: Path) -> Iterator[int]:
    """Run a proxy with these lines of the docs before the server on `upstream`; its port.

    Raises `AssertionError` with what it said where it ends or does not listen.
    """
    require(kind)
    lines = lines.replace(OURS, f"127.0.0.1:{upstream}")
    folder.mkdir()
    if kind == "nginx":
        head = f"listen 127.0.0.1:PORT ssl http2; server_name {NAME};"
        tls = f"ssl_certificate {certificate}; ssl_certificate_key {certificate};"
        with nginx.running(folder, f"server {{ {head} {tls}\n{lines}}}\n") as found:
            yield found.port
        return
    place = Place(folder, _free_port(), certificate)
    file, log = folder / "config", folder / "said"
    file.write_text(KINDS[kind].whole(place, lines))
    with log.open("wb") as output:
        process = _start(KINDS[kind], file, output.fileno())
    try:
        ends = time.monotonic() + READY_SECONDS
        while not _listens(place.port):
            said = log.read_text(errors="replace")
            assert process.poll() is None, f"{kind} ended:\n{said}"
            assert time.monotonic() < ends, f"{kind} never listened:\n{said}"
            time.sleep(LOOK_SECONDS)
        yield place.port
    finally:
        # A group of its own: workers do not outlive it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _start(kind: Kind, file: Path, output: int) -> subprocess.Popen[bytes]:
    program = nginx.SERVERS / kind.program
    libraries = {str(path.parent) for path in program.parents[2].rglob("*.so*")}
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": ":".join(sorted(libraries)),
        "HOME": str(file.parent),
    }
    return subprocess.Popen(
        [program, *(each.format(file=file) for each in kind.arguments)],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
        cwd=file.parent,
    )


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
        return True
    return False
