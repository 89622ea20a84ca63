"""What channels' tests share: how a channel is made, and receivers that remember."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from monitor.core.secret import Secret
from monitor.notify.channel import Channel
from monitor.notify.channels.making import make
from monitor.notify.config import ChannelConfig
from monitor.outbound.guard import Guard
from monitor.outbound.resolving import LookUp, Resolver
from tests.outbound.servers import request

PUBLIC_URL = "https://mon.lan:8460"
NOW = 1_790_000_123.0


def channel(
    url: str,
    *,
    secret: str = "",
    allow: tuple[str, ...] = (),
    look_up: LookUp = lambda _: ["127.0.0.1"],
    tls_ca: Path | None = None,
    deadline_seconds: float = 0.0,
) -> Channel:
    """The channel of an address, as the server makes it; with a deadline fit for tests."""
    config = ChannelConfig(
        url=Secret(url), secret=Secret(secret) if secret else None, tls_ca=tls_ca
    )
    guard = Guard(tuple(ipaddress.ip_network(each) for each in allow))
    made = make("phone", config, guard, Resolver(look_up), PUBLIC_URL, lambda: NOW)
    if deadline_seconds:
        for holder in (made, getattr(getattr(made, "_client", None), "_transport", None)):
            if hasattr(holder, "_deadline_seconds"):
                setattr(holder, "_deadline_seconds", deadline_seconds)  # noqa: B010 - not typed
    return made


@dataclass
class Receiver:
    """Answers each request with the next of its replies, the last one for ever."""

    replies: list[bytes] = field(default_factory=lambda: [reply()])
    heads: list[dict[str, str]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await request(reader):
            line, *rest = head.decode().split("\r\n")
            headers = dict(each.lower().split(": ", 1) for each in rest if each)
            exact = dict(each.split(": ", 1) for each in rest if each)
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            self.lines.append(line)
            self.heads.append({name.lower(): value for name, value in exact.items()})
            self.bodies.append(body)
            found = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
            writer.write(found)
            await writer.drain()


def reply(status: int = 200, body: bytes = b"", headers: Mapping[str, str] | None = None) -> bytes:
    """One reply of HTTP."""
    more = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body
