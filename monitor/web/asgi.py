"""Answering over plain ASGI, for what stands outside of the framework."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


async def answer(
    send: Send, status: int, headers: Mapping[str, str], body: bytes, *, head: bool = False
) -> None:
    """A complete response; with `head` its body is left out, and its length is not said."""
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    if not head:
        raw.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": b"" if head else body})
