"""How the bench tells a server of its own to publish: one byte a publication, over TCP.

The byte is a command of `payloads.Numbered`.  What it costs is one small read a publication,
as the peers pay for a request of their publisher's.
"""

from __future__ import annotations

import asyncio
import json
import resource
import socket
from collections.abc import Callable

COMMANDS = "sbt"
BACKLOG = 4_096


class _Control(asyncio.Protocol):
    def __init__(self, publish: Callable[[str], None]) -> None:
        self._publish = publish

    def data_received(self, data: bytes) -> None:
        for command in data.decode():
            if command not in COMMANDS:
                raise ValueError(f"there is no command {command!r}")
            self._publish(command)


async def listen(publish: Callable[[str], None]) -> int:
    """Call `publish` with each command that comes; the port that they come to."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Control(publish), "127.0.0.1", 0)
    return int(server.sockets[0].getsockname()[1])


def listener() -> socket.socket:
    """A listening socket on a free port, with a backlog that holds a storm."""
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listening.bind(("127.0.0.1", 0))
    listening.listen(BACKLOG)
    listening.setblocking(False)
    return listening


def announce(port: int, control: int) -> None:
    """Tell the bench where the server and its control are."""
    print(json.dumps({"port": port, "control": control}), flush=True)


def allow_many_descriptors() -> None:
    """Raise this process's limit of descriptors as far as it may; children inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
