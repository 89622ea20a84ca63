"""What proxies in front say of a request, and whose word is taken.

A proxy that the configuration names says who asks (``X-Forwarded-For``, the rightmost address
that is no proxy's), by which scheme (``X-Forwarded-Proto``) and for which host
(``X-Forwarded-Host``); of each the last value, which is what the nearest proxy wrote.  From
anybody else these headers mean nothing, and every header of their kind is taken off the request,
so that nothing behind can be led to believe one.  ``Forwarded`` (RFC 7239) is never read: a proxy
writes one family and passes the other on as its client sent it, and believing both would
believe the client.

It is pure: lists from anywhere, however hostile, in; what is believed, out.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

Headers = list[tuple[bytes, bytes]]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MOST_HOPS = 32
"""Proxies that one request may have come through."""

LONGEST_LIST_BYTES = 4 * 1024
"""Of a list of hops its end is looked at, which is what the nearest proxies wrote."""

_NAMES = frozenset(
    {
        b"forwarded",
        b"x-forwarded",
        b"via",
        b"x-real-ip",
        b"remote-addr",
        b"client-ip",
        b"x-client-ip",
        b"x-cluster-client-ip",
        b"x-original-forwarded-for",
        b"x-original-host",
        b"true-client-ip",
        b"cf-connecting-ip",
        b"fastly-client-ip",
        b"fly-client-ip",
        b"x-azure-clientip",
        b"x-envoy-external-address",
        b"x-originating-ip",
        b"x-proxyuser-ip",
        b"x-varnish",
        b"cdn-loop",
        b"front-end-https",
        b"x-scheme",
    }
)
"""Headers by which proxies tell of themselves or of their clients, besides ``X-Forwarded-*``."""

_HOP = re.compile(
    r"(?:\[([0-9A-Fa-f:.]{2,45})\](?::[0-9]{1,5})?"
    r"|([0-9.]{7,15})(?::[0-9]{1,5})?"
    r"|([0-9A-Fa-f:.]{2,45}))\Z",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as it was sent, before the proxies."""

    address: str
    scheme: str
    headers: Headers


@dataclass(frozen=True, slots=True)
class Proxies:
    """Whose word is taken, and what holds where they leave something out."""

    networks: tuple[Network, ...] = ()
    public_url: str | None = None
    is_open: Callable[[], bool] = lambda: False
    """Whether whoever connects is administrator: then nobody may come through a proxy."""

    @classmethod
    def of(
        cls,
        networks: Sequence[str],
        public_url: str | None = None,
        is_open: Callable[[], bool] = lambda: False,
    ) -> Proxies:
        """The proxies of a configuration."""
        return cls(tuple(ipaddress.ip_network(each) for each in networks), public_url, is_open)

    def trusts(self, address: str) -> bool:
        """Whether an address is a proxy's."""
        found = _address(address)
        return found is not None and any(found in network for network in self.networks)

    def seen(self, peer: str, scheme: str, headers: Headers) -> Seen:
        """What is believed of a request that came from this peer.  Never raises.

        The headers have lower-case names, and those of proxies are not among what comes back.
        """
        if not any(is_forwarding(name) for name, _ in headers) and not self.networks:
            return Seen(peer, scheme, headers)
        plain = [(name, value) for name, value in headers if not is_forwarding(name)]
        if not self.trusts(peer):
            return Seen(peer, scheme, plain)
        address = self._client(peer, headers)
        if host := _last(headers, b"x-forwarded-host"):
            plain = _with_host(plain, host)
        return Seen(address, self._scheme(address, headers), plain)

    def _client(self, peer: str, headers: Headers) -> str:
        """The rightmost address that is no proxy's; where all are, the leftmost.

        At a hop that is no address it ends, with the proxy that wrote it.
        """
        listed = b",".join(value for name, value in headers if name == b"x-forwarded-for")
        client = peer
        hops = listed[-LONGEST_LIST_BYTES:].rsplit(b",", MOST_HOPS)[-MOST_HOPS:]
        for hop in reversed(hops):
            address = _hop(hop)
            if address is None:
                break
            client = address
            if not self.trusts(address):
                break
        return client

    def _scheme(self, address: str, headers: Headers) -> str:
        said = _last(headers, b"x-forwarded-proto").lower()
        if said in {b"http", b"https"}:
            return said.decode()
        if self.public_url is not None:
            return urlsplit(self.public_url).scheme
        found = _address(address)
        return "http" if found is not None and found.is_loopback else "https"


def is_forwarding(name: bytes) -> bool:
    """Whether a header, by its name in lower case, is one that proxies write."""
    return name.startswith(b"x-forwarded-") or name in _NAMES


def is_forwarded(headers: Headers) -> bool:
    """Whether a request says that it came through a proxy."""
    return any(is_forwarding(name) for name, _ in headers)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


def _hop(text: bytes) -> str | None:
    """The address of one hop, without its port, in its one spelling."""
    match = _HOP.match(text.strip(b" \t").decode("latin-1"))
    if match is None:
        return None
    found = _address(match[1] or match[2] or match[3])
    return None if found is None else str(found)


def _last(headers: Headers, name: bytes) -> bytes:
    """The last value of a header that may be a list."""
    values = [value for found, value in headers if found == name]
    return values[-1].rpartition(b",")[2].strip(b" \t") if values else b""


def _with_host(headers: Headers, host: bytes) -> Headers:
    """Headers whose one Host is another; what has none or two is left to be refused."""
    if [name for name, _ in headers].count(b"host") != 1:
        return headers
    return [(name, host if name == b"host" else value) for name, value in headers]
