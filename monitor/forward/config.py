"""What ``[remote_write.NAME]`` may say: where what is accepted goes, and what waits on disk."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from monitor.core.labels import few_labels, label_value
from monitor.core.prometheus_names import HOST_LABEL
from monitor.core.quantity import Between, Bytes, Check, Seconds, shown
from monitor.core.secret import Secret
from monitor.core.selectors import Selector
from monitor.errors import InputError
from monitor.outbound.faults import UrlNotAllowed
from monitor.outbound.targets import parse_url

MOST_HEADERS = 16
HEADER_CHARACTERS = 256
"""A header's value, such as a tenant's name."""

_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}\Z")
_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,255}\Z")
_OURS = frozenset(
    {
        *("host", "content-type", "content-encoding", "content-length", "transfer-encoding"),
        *("connection", "user-agent", "x-prometheus-remote-write-version"),
    }
)
"""Headers that say how a request is made, which is not for a configuration."""

_SECRET = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key"})
"""Headers that would be a secret in plain sight."""


def url(value: str) -> str:
    """An address of HTTP as it is.  Raises `ValueError` where it is none."""
    try:
        parse_url(value)
    except UrlNotAllowed as error:
        raise ValueError(error.detail) from None
    return value


def selector(value: str) -> str:
    """A selector of hosts as it is, or nothing.  Raises `ValueError` where it is none."""
    if value:
        try:
            Selector.parse(value)
        except InputError as error:
            raise ValueError(error.detail) from None
    return value


def header_name(value: str) -> str:
    """A header's name as it is.  Raises `ValueError` where it is none, or not for here."""
    if _HEADER.match(value) is None:
        raise ValueError(f"expected a header's name, got {shown(value)}")
    if value.lower() in _SECRET:
        raise ValueError(f"{shown(value)} would stand here in the clear: use token_file")
    if value.lower() in _OURS:
        raise ValueError(f"the header {shown(value)} is not for a configuration to set")
    return value


def header_value(value: str) -> str:
    """A header's value as it is.  Raises `ValueError` where it is none."""
    if len(value) > HEADER_CHARACTERS or not value.isascii() or not value.isprintable():
        raise ValueError(f"expected at most {HEADER_CHARACTERS} printable ASCII characters")
    return value


def few_headers(value: Mapping[str, str]) -> Mapping[str, str]:
    """Headers as they are.  Raises `ValueError` where they are too many."""
    if len(value) > MOST_HEADERS:
        raise ValueError(f"expected at most {MOST_HEADERS} headers, got {len(value)}")
    return value


def series_label(value: str) -> str:
    """The name of a label that every series gets.  Raises `ValueError` where it is none."""
    if _LABEL.match(value) is None or value.startswith("__") or value == HOST_LABEL:
        raise ValueError(f"expected a label's name other than host, got {shown(value)}")
    return value


@dataclass(frozen=True, slots=True)
class RemoteWriteConfig:
    """One table of them: a receiver."""

    url: Annotated[str, Check(url)] = ""
    """Where it takes remote write 1.0."""
    token: Secret | None = None
    """What it wants as a bearer token."""
    username: Annotated[str, Check(header_value)] = ""
    password: Secret | None = None
    """What it wants of who has a name there."""
    headers: Annotated[
        Mapping[Annotated[str, Check(header_name)], Annotated[str, Check(header_value)]],
        Check(few_headers),
    ] = field(default_factory=dict)
    """Sent with every request, such as a tenant's name."""
    labels: Annotated[
        Mapping[Annotated[str, Check(series_label)], Annotated[str, Check(label_value)]],
        Check(few_labels),
    ] = field(default_factory=dict)
    """What every series gets beside its own labels; its own win."""
    hosts: Annotated[str, Check(selector)] = ""
    """A selector of the hosts whose series go there; all of them without it."""
    size: Annotated[Bytes, Between(1 << 20, 1 << 40)] = 1_000_000_000
    """What may wait on disk; beyond, the oldest is let go of."""
    interval: Annotated[Seconds, Between(0.1, 300.0)] = 5.0
    """How long samples are gathered before they are sent."""
    batch: Annotated[int, Between(100, 100_000)] = 10_000
    """Samples of one request, at most."""
    timeout: Annotated[Seconds, Between(1.0, 300.0)] = 30.0
    """How long one request may take."""
    tls_ca: Path | None = None
    """Authorities that its certificate is verified with, beside the system's."""

    def faults(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """Keys that do not agree, each with a sentence."""
        if not self.url:
            yield ("url", "hosts", "token"), "url is missing: where does it take remote write?"
        if self.token is not None and (self.username or self.password is not None):
            yield ("token", "username"), "a token, or a name and a password: not both"
        if bool(self.username) != (self.password is not None):
            yield ("username", "password_file"), "username and password are given together"
        token = self.token.reveal() if self.token is not None else ""
        if not (token.isascii() and token.isprintable()):
            yield ("token_file", "token"), "a token has printable ASCII characters only"
        if ":" in self.username:
            yield ("username",), "a name for a password holds no colon"
