"""It must be that a real server speaks TLS as it was told, and ends with whoever is connected."""

from __future__ import annotations

import hashlib
import re
import signal
import socket
import ssl
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from tests import serving
from tests.conftest import StartServer
from tests.ingest.documents import simple
from tests.serving import Server
from tests.web import raw

AUTO = '[server]\ntls = "auto"\n'


def config(folder: Path, text: str) -> str:
    path = folder / "tls.toml"
    path.write_text(text)
    return str(path)


def trust(server: Server) -> ssl.SSLContext:
    """A client that trusts the server's own authority and nothing else."""
    return ssl.create_default_context(cafile=str(server.data / "tls/ca.pem"))


def shaken(
    url: str, client: ssl.SSLContext, name: str = "localhost", buffer: int | None = None
) -> ssl.SSLSocket:
    """A connection over TLS to a server that is asked for by this name."""
    connection = socket.socket()
    connection.settimeout(10)
    if buffer is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    connection.connect(("127.0.0.1", urlsplit(url).port))
    return client.wrap_socket(connection, server_hostname=name)


def asked(url: str, client: ssl.SSLContext, request: bytes, name: str = "localhost") -> raw.Answer:
    with shaken(url, client, name) as connection:
        connection.sendall(request)
        return raw.read(connection)


def get(url: str, client: ssl.SSLContext, target: str, name: str = "localhost") -> raw.Answer:
    request = f"GET {target} HTTP/1.1\r\nHost: {name}\r\n\r\n".encode()
    return asked(url, client, request, name)


def pins(server: Server) -> list[str]:
    return re.findall(r"(?m)^certificate authority: .*/tls/ca\.pem, sha256:([0-9a-f]{64})$",
                      server.said())  # fmt: skip


def certificate(server: Server) -> str:
    with shaken(server.url, trust(server)) as connection:
        return hashlib.sha256(connection.getpeercert(binary_form=True) or b"").hexdigest()


def test_auto_is_trusted_by_who_trusts_its_authority_over_restarts(
    start_server: StartServer, tmp_path: Path
) -> None:
    first = start_server("--config", config(tmp_path, AUTO))
    assert first.url.startswith("https://127.0.0.1:")
    der = ssl.PEM_cert_to_DER_cert((first.data / "tls/ca.pem").read_text())
    assert pins(first) == [hashlib.sha256(der).hexdigest()]
    answer = get(first.url, trust(first), "/healthz")
    assert answer.status == 200
    assert "strict-transport-security" not in answer.headers  # the name is localhost
    push = simple(**{f"app_number_{number}": number for number in range(5_000)})
    head = f"POST /api/v1/push HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(push)}\r\n"
    sent = head.encode() + b"Content-Type: application/json\r\n\r\n" + push
    assert asked(first.url, trust(first), sent).status == 200
    with socket.create_connection(("127.0.0.1", urlsplit(first.url).port), 5) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"HTTP" not in plain.recv(100)
    before = certificate(first)
    assert first.end() == 0

    again = start_server("--config", config(tmp_path, AUTO), "--data", str(first.data))
    client = ssl.create_default_context(cafile=str(first.data / "tls/ca.pem"))
    assert pins(again) == pins(first)
    with shaken(again.url, client) as connection:
        found = connection.getpeercert(binary_form=True) or b""
    assert hashlib.sha256(found).hexdigest() == before
    assert again.end() == 0

    named = AUTO + 'public_url = "https://mon.example.com"\n'
    third = start_server("--config", config(tmp_path, named), "--data", str(first.data))
    assert pins(third) == pins(first)
    answer = get(third.url, client, "/healthz", "mon.example.com")
    assert answer.status == 200
    assert answer.headers["strict-transport-security"] == "max-age=31536000"
    assert "Traceback" not in third.said()


def test_sigterm_ends_streams_over_tls_with_a_goodbye_and_those_that_do_not_read(
    start_server: StartServer, tmp_path: Path
) -> None:
    server = start_server("--config", config(tmp_path, AUTO))
    client = trust(server)
    host = socket.gethostname()
    target = f"GET /api/v1/stream?topics=host:{host} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    stuck = [shaken(server.url, client, buffer=2048) for _ in range(3)]
    for connection in stuck:
        connection.sendall(target)
    midway = socket.create_connection(("127.0.0.1", urlsplit(server.url).port), 5)
    midway.sendall(b"\x16\x03\x01")
    idle = shaken(server.url, client)
    reader = shaken(server.url, client)
    reader.sendall(target)
    data = b""
    while b"event: connected" not in data:
        data += reader.recv(65_536)
    time.sleep(1)  # some more comes for those that do not read
    began = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    while piece := reader.recv(65_536):
        data += piece
    assert data.count(b"event: disconnected") == 1
    assert data.endswith(b"\r\n0\r\n\r\n")
    assert server.process.wait(5) == 0
    assert time.monotonic() - began < 2
    said = server.said()
    assert "Traceback" not in said
    assert "monitor.http" not in said
    for each in (*stuck, midway, idle, reader):
        each.close()


def test_others_can_reach_it_over_tls_once_there_is_an_account(
    start_server: StartServer, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    made = subprocess.run(
        [*serving.checkout_command(), "user", "create", "boss", "--role", "admin",
         "--password-stdin", "--data", str(data)],
        input=b"correct horse battery staple\n", capture_output=True, check=False,
        env=serving.checkout_environment(), cwd=tmp_path,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    server = start_server("--listen", "0.0.0.0:0", "--data", str(data))
    assert server.url.startswith("https://0.0.0.0:")
    client = ssl.create_default_context(cafile=str(data / "tls/ca.pem"))
    assert get(server.url, client, "/healthz").status == 200
    assert get(server.url, client, "/api/v1/hosts").status == 401
    addresses = [
        each.address
        for found in psutil.net_if_addrs().values()
        for each in found
        if each.family == socket.AF_INET
    ]
    for address in addresses:
        shaken(server.url, client, address).close()


def refused(folder: Path, *options: str, command: str = "serve") -> tuple[int, list[str]]:
    done = subprocess.run(
        [*serving.checkout_command(), command, *options, "--data", str(folder / "data")],
        capture_output=True, text=True, timeout=20, check=False,
        env=serving.checkout_environment(), cwd=folder,
    )  # fmt: skip
    return done.returncode, done.stderr.splitlines()


def test_ones_own_certificate_is_used_and_a_bad_one_refused(
    start_server: StartServer, tmp_path: Path
) -> None:
    subprocess.run([*serving.checkout_command(), "tls", "init", "--data", str(tmp_path / "own")],
                   capture_output=True, check=True, env=serving.checkout_environment(),
                   cwd=tmp_path)  # fmt: skip
    both = tmp_path / "own/tls/server.pem"
    text = f'[server]\ntls_cert = "{both}"\ntls_key = "{both}"\n'
    path = config(tmp_path, text)
    server = start_server("--config", path)
    client = ssl.create_default_context(cafile=str(tmp_path / "own/tls/ca.pem"))
    assert get(server.url, client, "/healthz").status == 200
    assert not (server.data / "tls").exists()
    assert re.search(r"(?m)^certificate: .*/server\.pem, sha256:[0-9a-f]{64}$", server.said())

    both.chmod(0o644)
    for command in ("serve", "check"):
        status, said = refused(tmp_path, "--config", path, command=command)
        assert status == 78
        assert said[-1].startswith(f"server.tls_key: {both} can be used by others (mode 0644)")


def test_a_damaged_authority_is_one_clear_line(tmp_path: Path) -> None:
    folder = tmp_path / "data/tls"
    folder.mkdir(mode=0o700, parents=True)
    (folder / "ca.pem").write_text("x")
    path = config(tmp_path, AUTO + 'listen = "127.0.0.1:0"\n')
    status, said = refused(tmp_path, "--config", path)
    assert status == 1
    assert len(said) == 1
    assert said[0].startswith(f"{folder}/ca.key is not there: put it back from a backup, or make")
