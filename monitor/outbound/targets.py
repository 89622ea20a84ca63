"""Reads addresses strictly: what other programs read in two ways is refused.  Pure.

A URL is judged here when it is saved and again when it is used.  Numbers that stand for
addresses (``127.1``, ``0x7f000001``, ``2130706433``) are refused however harmless, because
between two readers of them lies the way around a guard; so are user names, because of what
comes before the ``@`` people see the host.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

import idna

from monitor.core.quantity import shown
from monitor.outbound.addresses import METADATA_NAMES, Address
from monitor.outbound.faults import OutboundRefused, UrlNotAllowed
from monitor.outbound.guard import Guard

URL_CHARACTERS = 2048
"""The longest URL."""

HOST_CHARACTERS = 253
"""The longest name that DNS can carry."""

MAIL_PORTS = frozenset({25, 465, 587, 2525})
"""Where mail is handed in."""

CLOSED_PORTS = frozenset(
    {
        # Those that browsers refuse (the Fetch standard): other protocols, which read an HTTP
        # request as commands of theirs.
        *(1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95),
        *(101, 102, 103, 104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161),
        *(179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563),
        *(587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060),
        *(5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080),
        # File shares, remote desktops, databases, queues, and Docker without a password.
        *(445, 3389, 5900, 1433, 1521, 3306, 5432, 6379, 9042, 11211, 27017, 1883, 5672, 2375),
    }
)
"""Ports that are not for HTTP, even where they are named."""

_LOOPBACK = ipaddress.IPv4Address("127.0.0.1")
_PORTS = {"http": 80, "https": 443}
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([/?#].*)?\Z")
_AUTHORITY = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::(.*))?\Z")
_PORT = re.compile(r"[1-9][0-9]{0,4}\Z")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\Z")
_NUMBER = re.compile(r"(?:[0-9]+|0[xX][0-9A-Fa-f]*)\Z")
_VISIBLE = re.compile(r"[!-~\x80-\U0010ffff]+\Z")


@dataclass(frozen=True, slots=True)
class Place:
    """A host and a port to connect to; the host as DNS has it, or an address in its one form."""

    host: str
    port: int

    @property
    def address(self) -> Address | None:
        """The address, where the host is one."""
        try:
            return ipaddress.ip_address(self.host)
        except ValueError:
            return None

    @property
    def written(self) -> str:
        """``HOST:PORT`` as URLs write it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that was judged, in its parts."""

    scheme: str
    place: Place
    rest: str
    """Path and query, which may be secret."""

    def __repr__(self) -> str:
        return f"Target({self.scheme}://{self.place.written}/***)"


def judge_url(url: str, guard: Guard) -> Target:
    """The parts of a URL that may be connected to, as far as can be said without asking DNS.

    Raises `UrlNotAllowed` with a sentence that names the rule, and nothing after the host.
    """
    target = parse_url(url)
    _judge(target.place, guard)
    return target


def judge_place(place: Place, guard: Guard, ports: frozenset[int]) -> Place:
    """The same for what is no URL, such as a mail server: the host, and a port of these."""
    if place.port not in ports:
        raise UrlNotAllowed(f"port {place.port} is not for this; {_some(ports)} are")
    _judge(place, guard)
    return place


def parse_url(url: str) -> Target:
    """The parts of a URL of HTTP, strictly.  Raises `UrlNotAllowed`."""
    if len(url) > URL_CHARACTERS:
        raise UrlNotAllowed(f"the URL has more than {URL_CHARACTERS} characters")
    match = _URL.match(url) if _VISIBLE.match(url) and "\\" not in url else None
    if match is None:
        raise UrlNotAllowed("expected a URL such as https://example.com/path")
    scheme, authority, rest = match[1].lower(), match[2], match[3] or "/"
    if scheme not in _PORTS:
        raise UrlNotAllowed(f"expected a URL of http or https, got one of {shown(scheme)}")
    if not rest.isascii():
        raise UrlNotAllowed("characters after the host that are not ASCII are to be %-escaped")
    if "@" in authority:
        raise UrlNotAllowed("the URL holds a user name or an @ before its path")
    parts = _AUTHORITY.match(authority)
    if parts is None:
        raise UrlNotAllowed("the URL's host and port cannot be made out")
    port = _port(parts[2]) if parts[2] is not None else _PORTS[scheme]
    if port in CLOSED_PORTS:
        raise UrlNotAllowed(f"port {port} is not for HTTP")
    rest = rest.partition("#")[0] or "/"
    return Target(scheme, Place(parse_host(parts[1]), port), rest if rest[0] == "/" else f"/{rest}")


def parse_host(text: str) -> str:
    """The one form of a host: an address, or a name in ASCII and lower case without its last dot.

    An IPv6 address stands in brackets.  Raises `UrlNotAllowed`.
    """
    if text.startswith("["):
        return _six(text)
    name = text
    if not name.isascii():
        try:
            name = idna.encode(name).decode("ascii")
        except (idna.IDNAError, UnicodeError):
            raise UrlNotAllowed(f"{shown(text)} is no name of a host") from None
    name = name.lower()
    if _NUMBER.match(name.removesuffix(".").rpartition(".")[2]):
        try:
            four = str(ipaddress.IPv4Address(text))
        except ValueError:
            four = ""
        if four != text:
            raise UrlNotAllowed(f"{shown(text)} is an odd way to write an address")
        return four
    name = name.removesuffix(".")
    if len(name) > HOST_CHARACTERS or not all(_LABEL.match(label) for label in name.split(".")):
        raise UrlNotAllowed(f"{shown(text)} is no name of a host")
    return name


def _six(text: str) -> str:
    try:
        address = ipaddress.IPv6Address(text[1:-1])
    except ValueError:
        raise UrlNotAllowed(f"{shown(text)} is no address") from None
    if address.scope_id is not None:
        raise UrlNotAllowed(f"{shown(text)} names a zone, which only this machine knows")
    if address.ipv4_mapped is not None or 1 < int(address) < 1 << 32:
        raise UrlNotAllowed(f"{shown(text)} is an odd way to write an IPv4 address")
    return str(address)


def _port(text: str) -> int:
    if not _PORT.match(text) or int(text) > 65_535:
        raise UrlNotAllowed("expected a port from 1 to 65535 after the host's colon")
    return int(text)


def _judge(place: Place, guard: Guard) -> None:
    address = place.address
    if address is None and (place.host == "localhost" or place.host.endswith(".localhost")):
        address = _LOOPBACK
    if place.host in METADATA_NAMES:
        raise UrlNotAllowed(f"{shown(place.host)} is where clouds hand out credentials")
    if address is None:
        return
    try:
        guard.judge(place.host, place.port, address)
    except OutboundRefused as error:
        raise UrlNotAllowed(error.detail) from None


def _some(ports: frozenset[int]) -> str:
    return ", ".join(map(str, sorted(ports)))
