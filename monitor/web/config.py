"""What `[server]` may say: where the server listens and what it is called from outside.

It knows the shape of each key and what they mean to each other.  Whether the server may listen
there is judged in `monitor.web.listening`, because that depends on who has an account.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from monitor.core.quantity import Between, Bytes, Check, shown

LOOKUP_SECONDS = 5.0
"""How long the resolver may take over a name to listen on."""

URL_CHARACTERS = 2048
"""The longest public URL."""

_LISTEN = re.compile(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9._-]{1,253})):([0-9]{1,5})\Z")
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})\Z")
_URL = re.compile(r"https?://[!-~]+\Z")


def parse_listen(value: str) -> tuple[str, int]:
    """The host and port of ``HOST:PORT`` or ``[IPV6]:PORT``; port 0 is any free one.

    Raises `ValueError` with a sentence for the operator.
    """
    complaint = f'expected HOST:PORT such as "127.0.0.1:8460", got {shown(value)}'
    match = _LISTEN.match(value)
    if match is None:
        raise ValueError(complaint)
    six, name, port = match.groups()
    if int(port) > 65_535:
        raise ValueError(f"{complaint}: ports end at 65535")
    if six is not None:
        try:
            ipaddress.IPv6Address(six)
        except ValueError:
            raise ValueError(f"{complaint}: no IPv6 address stands in the brackets") from None
    return six or name, int(port)


def resolve(listen: str) -> tuple[tuple[str, ...], int]:
    """Every numeric address that a listen address means, at least one, and the port.

    ``localhost`` is 127.0.0.1, whatever the resolver says; other names are looked up, within
    `LOOKUP_SECONDS`.  Raises `ValueError` with the reason.
    """
    host, port = parse_listen(listen)
    if host.lower() == "localhost":
        return ("127.0.0.1",), port
    try:
        return (str(ipaddress.ip_address(host)),), port
    except ValueError:
        return tuple(_addresses(host)), port


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches a numeric address; ``0.0.0.0`` is every address."""
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return parsed.is_loopback


def is_local(address: str) -> bool:
    """The same of whatever stands for a peer: what is no address is not this machine."""
    try:
        return is_loopback(address)
    except ValueError:
        return False


def _addresses(name: str) -> list[str]:
    """Every address of a name.  The resolver has no deadline of its own, so it gets a thread."""
    found: list[str] = []
    reason = ["the resolver gave no answer in time"]

    def look_up() -> None:
        try:
            answers = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            reason[0] = getattr(error, "strerror", None) or "no such name"
            return
        found.extend(dict.fromkeys(str(answer[4][0]) for answer in answers))

    thread = threading.Thread(target=look_up, name="look-up", daemon=True)
    thread.start()
    thread.join(LOOKUP_SECONDS)
    if not found:
        raise ValueError(f"cannot resolve {shown(name)} to listen on it: {reason[0]}")
    return list(found)


def listen_address(value: str) -> str:
    """A listen address as it is.  Raises `ValueError` where there is no such address."""
    resolve(value)
    return value


def proxy(value: str) -> str:
    """An address or a network of proxies.  Raises `ValueError` where it is none, or everybody."""
    try:
        network = ipaddress.ip_network(value)
    except ValueError:
        raise ValueError(
            f'expected an address or a network such as "10.0.0.1" or "10.0.0.0/24", got'
            f" {shown(value)}"
        ) from None
    if network.prefixlen == 0:
        raise ValueError(f"{shown(value)} is everybody: name the proxies")
    return value


def public_address(value: str) -> str:
    """A public URL without a closing slash.  Raises `ValueError` where it is none."""
    complaint = f'expected a URL such as "https://monitor.example.com", got {shown(value)}'
    if len(value) > URL_CHARACTERS or _URL.match(value) is None:
        raise ValueError(complaint)
    try:
        url = urlsplit(value)
        host, port = url.hostname, url.port
    except ValueError:
        raise ValueError(complaint) from None
    if not host or port == 0:
        raise ValueError(complaint)
    if "@" in url.netloc:
        # The value itself is left out, because a password may stand in it.
        raise ValueError("expected a URL without a user name or password")
    if _HOST.match(re.sub(r":[0-9]{1,5}\Z", "", url.netloc)) is None:
        raise ValueError(complaint)
    if url.path not in ("", "/") or "?" in value or "#" in value:
        raise ValueError(f"{complaint}: it ends after the host and port")
    return value.rstrip("/")


def host_header(value: str) -> str:
    """A host name, which stands for all its ports.  Raises `ValueError` where it is none."""
    if _HOST.match(value) is None:
        raise ValueError(
            f'expected a host without a port such as "monitor.example.com", got {shown(value)}'
        )
    return value.lower()


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Where the server listens, keeps its data, and what it is called."""

    listen: Annotated[str, Check(listen_address)] = "127.0.0.1:8460"
    """HOST:PORT; port 0 picks a free one."""
    data_dir: Path | None = None
    """Where the databases are; by default the place for this user."""
    public_url: Annotated[str, Check(public_address)] | None = None
    """What people type; its host is allowed in requests."""
    allowed_hosts: tuple[Annotated[str, Check(host_header)], ...] = ()
    """Further names, on any port, that the Host header may hold."""
    tls: Literal["auto", "off"] | None = None
    """Whether connections are encrypted; by default they are where others can reach us."""
    tls_cert: Path | None = None
    """A certificate with its chain, instead of the one that "auto" makes."""
    tls_key: Path | None = None
    """Its key."""
    trusted_proxies: tuple[Annotated[str, Check(proxy)], ...] = ()
    """Whose word is taken for who asks, by which scheme and for which host."""
    max_memory: Annotated[Bytes, Between(256 * 1024 * 1024, 2**50)] | None = None
    """Near it work is refused, in a documented order; by default half of the machine's."""
    max_connections: Annotated[int, Between(16, 1_000_000)] | None = None
    """Event streams at once; by default what the open files' limit leaves."""
    max_connections_per_address: Annotated[int, Between(1, 1_000_000)] | None = None
    """The same for one address; by default 64, and for loopback no limit."""
    max_streams_per_user: Annotated[int, Between(1, 100_000)] = 16
    """The same for one account, and for one token."""

    def faults(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """Keys that do not agree, each with a sentence."""
        if (self.tls_cert is None) != (self.tls_key is None):
            yield ("tls_cert", "tls_key"), "tls_cert and tls_key are given together, or neither is"
        if self.tls == "off" and self.tls_cert is not None:
            yield ("tls", "tls_cert"), 'with tls = "off" there is no use for a certificate'
        if self.tls == "off" and not self.trusted_proxies and not self.is_local():
            sentence = (
                f"{shown(self.listen)} can be reached by others, and passwords would be read on the"
                ' way: leave tls out, or name the proxy that speaks TLS: trusted_proxies = ["IP"]'
            )
            yield ("tls", "listen"), sentence

    def is_local(self) -> bool:
        """Whether only this machine can reach where the server listens."""
        try:
            return all(is_loopback(address) for address in resolve(self.listen)[0])
        except ValueError:  # it was resolved a moment ago, and is not now
            return False


RESERVED = 64
"""Connections above the configured most that are served still, though no stream is opened on them:
for health, pages and pushes."""

RESERVED_PER_ADDRESS = 16
"""The same for each address, so that it hears why it gets no stream more."""

MOST_PER_ADDRESS = 64
"""Streams from one address that is not this machine's own."""

COLLECTORS_SHARE = 0.25
"""What of the descriptors collectors may keep (`monitor.collect.descriptors_budget`)."""

OTHER_DESCRIPTORS = 192
"""Descriptors for everything else: databases, pages being read, connections about to be closed."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How many streams there may be.  Connections may be a few more, for everything else."""

    most_connections: int
    most_per_address: int | None = None
    """What the operator set, which then holds for every address."""
    most_per_user: int = 16
    """Streams of one account, or one token."""
    most_places: int = 1_000_000
    """How many connections the descriptors are enough for, whatever was configured."""

    @property
    def connections(self) -> int:
        """The most connections at once, streams and all others."""
        return min(self.most_connections, self.most_places) + RESERVED

    @property
    def connections_per_address(self) -> int:
        """The same for an address that is neither this machine's nor a proxy's."""
        return (self.most_per_address or MOST_PER_ADDRESS) + RESERVED_PER_ADDRESS

    def per_address(self, host: str) -> int | None:
        """The most connections from an address, or none where there is no limit."""
        if self.most_per_address is not None:
            return self.most_per_address
        return None if is_local(host) else MOST_PER_ADDRESS


def limits(config: ServerConfig, descriptors: int) -> Limits:
    """The limits that a configuration means where a process may have so many descriptors."""
    fit = max(16, int(descriptors * (1 - COLLECTORS_SHARE)) - OTHER_DESCRIPTORS)
    most = fit if config.max_connections is None else config.max_connections
    return Limits(
        most, config.max_connections_per_address, config.max_streams_per_user, most_places=fit
    )
