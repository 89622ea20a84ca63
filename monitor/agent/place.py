"""Where the server is: its URL, taken apart and judged."""

from __future__ import annotations

import ipaddress
import urllib.parse
from dataclasses import dataclass

from monitor.core.quantity import shown

MOST_CHARACTERS = 2_048
"""Of a URL; browsers take no longer ones either."""


@dataclass(frozen=True, slots=True)
class Place:
    """A server's address, and the path below which it answers (behind a proxy)."""

    is_secure: bool
    host: str
    port: int
    prefix: str = ""

    @classmethod
    def parse(cls, url: str) -> Place:
        """The place that `url` names.  Raises `ValueError` with a sentence for the operator."""
        wanted = f'expected a URL such as "https://monitor.example:8460", got {shown(url)}'
        if len(url) > MOST_CHARACTERS or not url.isascii() or not url.isprintable() or " " in url:
            raise ValueError(wanted)
        try:
            parts = urllib.parse.urlsplit(url)
            port = parts.port
        except ValueError:
            raise ValueError(wanted) from None
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(wanted)
        if parts.username is not None or parts.query or parts.fragment:
            raise ValueError(f"{wanted}: without a user, a query or a fragment")
        is_secure = parts.scheme == "https"
        return cls(
            is_secure,
            parts.hostname,
            port if port is not None else (443 if is_secure else 80),
            parts.path.rstrip("/"),
        )

    @property
    def is_loopback(self) -> bool:
        """Whether it is this machine, so that nobody between can listen."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def authority(self) -> str:
        """Host and port, as the ``Host`` header says them."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == (443 if self.is_secure else 80) else f"{name}:{self.port}"

    def __str__(self) -> str:
        return f"{'https' if self.is_secure else 'http'}://{self.authority}{self.prefix}"
