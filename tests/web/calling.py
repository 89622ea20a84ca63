"""The application called by hand, without a socket: what a crawl of thousands of requests takes.

It is all of the application, the edge included; only the bytes of HTTP are missing, which other
tests send.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlencode

from monitor.web.asgi import Application, Message

HOST = "127.0.0.1:9000"


@dataclass(frozen=True)
class Answer:
    """What came back: status, headers by lower-case name, body."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str | None:
        """The code of a problem; none where it is none."""
        if self.headers.get("content-type") != "application/problem+json" or not self.body:
            return None
        found: str = self.json()["code"]
        return found


@dataclass
class Caller:
    """Who calls, and from where."""

    application: Application
    headers: Mapping[str, str] = field(default_factory=dict)
    address: str = "127.0.0.1"

    async def __call__(
        self,
        method: str,
        target: str,
        body: bytes | Mapping[str, str] = b"",
        **headers: str,
    ) -> Answer:
        """One request; a form where `body` is its fields; underscores in names are dashes."""
        if isinstance(body, Mapping):
            body = urlencode(body).encode()
            headers.setdefault("content_type", "application/x-www-form-urlencoded")
        path, _, query = target.partition("?")
        sent = {"host": HOST, **self.headers, **headers}
        if body:
            sent["content-length"] = str(len(body))
        raw = [(k.lower().replace("_", "-").encode(), v.encode()) for k, v in sent.items()]
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": raw,
            "client": (self.address, 40_000),
            "server": ("127.0.0.1", 9000),
            "extensions": {},
        }
        left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
        got: list[Message] = []

        async def receive() -> Message:
            if left:
                return left.pop()
            await asyncio.Event().wait()  # whoever calls stays
            raise AssertionError

        async def send(message: Message) -> None:
            got.append(message)

        await self.application(scope, receive, send)
        (start,) = [each for each in got if each["type"] == "http.response.start"]
        found = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in start["headers"]}
        pieces = [each.get("body", b"") for each in got if each["type"] == "http.response.body"]
        return Answer(start["status"], found, b"".join(pieces))
