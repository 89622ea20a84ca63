"""HTTP by hand, for requests that a library would tidy up."""

from __future__ import annotations

import contextlib
import json
import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

ANSWER_SECONDS = 10.0


@dataclass(frozen=True)
class Answer:
    """What came back: status, headers by lower-case name, body."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def connect(url: str) -> socket.socket:
    """An open connection to a server."""
    address = urlsplit(url)
    return socket.create_connection((address.hostname, address.port), ANSWER_SECONDS)


def send(url: str, request: bytes) -> Answer:
    """Send these bytes on a connection of their own and read one answer."""
    with connect(url) as connection:
        connection.sendall(request)
        return read(connection)


def send_and_see_the_end(url: str, request: bytes) -> Answer:
    """The same, where the server must end the connection after its one answer."""
    with connect(url) as connection:
        connection.sendall(request)
        answer = read(connection)
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(1) == b""
        return answer


def read(connection: socket.socket, *, head: bool = False) -> Answer:
    """One answer: by Content-Length, or to the end of the connection."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65_536)
        if not more:
            break
        data += more
    header, _, body = data.partition(b"\r\n\r\n")
    first, *lines = header.decode("latin-1").split("\r\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    wanted = 0 if head else int(headers.get("content-length", "0"))
    while len(body) < wanted:
        more = connection.recv(65_536)
        if not more:
            break
        body += more
    if wanted:
        body = body[:wanted]  # what was sent behind the request may have been answered, too
    status = int(first.split(" ")[1]) if first else 0
    return Answer(status, headers, body)


def get(url: str, target: str = "/", **headers: str) -> Answer:
    """A plain GET with these headers; underscores in their names are dashes."""
    address = urlsplit(url)
    sent = {"host": f"{address.hostname}:{address.port}", **headers}
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in sent.items()]
    head = "\r\n".join([f"GET {target} HTTP/1.1", *lines, "", ""])
    return send(url, head.encode("latin-1"))
