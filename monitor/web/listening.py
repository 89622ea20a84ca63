"""Where the server may listen: nobody is let in by accident.

Open means that no account exists and the address is loopback; then whoever connects is
administrator.  On any other address somebody must be able to prove who they are, and nobody
may read along.  Each refusal names the key and the line that ends it.

It knows addresses and the configuration.  Who has an account it is told, and sockets and
certificates it does not touch.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from urllib.parse import urlsplit

from monitor.core.quantity import shown
from monitor.errors import ConfigError
from monitor.web.config import ServerConfig, is_loopback, parse_listen, resolve

FIRST_ACCOUNT = "monitor user create NAME --role admin"
"""The line that makes the first administrator."""


class Tls(enum.Enum):
    """How connections are encrypted."""

    OFF = "off"
    AUTO = "auto"
    """With a certificate of our own making."""
    OWN = "own"
    """With the operator's."""


@dataclass(frozen=True, slots=True)
class Listening:
    """Where a server listens."""

    address: str
    """Numeric: what was judged is what is bound."""
    port: int
    is_loopback: bool
    """Whether only this machine can reach it."""
    tls: Tls

    @property
    def scheme(self) -> str:
        """``http`` or ``https``."""
        return "http" if self.tls is Tls.OFF else "https"

    def is_open(self, *, has_account: bool) -> bool:
        """Whether whoever connects is administrator."""
        return self.is_loopback and not has_account


def listening(config: ServerConfig) -> Listening:
    """Where a configuration would have the server listen; nothing is judged yet.

    A name is looked up here, once, and counts as loopback where all its addresses are.
    Raises `ConfigError` where it means no address any more.
    """
    try:
        addresses, port = resolve(config.listen)
    except ValueError as error:
        raise ConfigError([f"server.listen: {error}"]) from None
    is_local = all(is_loopback(address) for address in addresses)
    return Listening(addresses[0], port, is_local, tls_mode(config, is_local=is_local))


def tls_mode(config: ServerConfig, *, is_local: bool) -> Tls:
    """How connections are encrypted under a configuration."""
    if config.tls == "off":
        return Tls.OFF
    if config.tls_cert is not None:
        return Tls.OWN
    if config.tls == "auto" or not is_local:
        return Tls.AUTO
    return Tls.OFF


def judge(config: ServerConfig, found: Listening, *, has_account: bool, has_token: bool) -> None:
    """Refuse to listen where anybody might get in, or read along.

    Raises `ConfigError` with a line for each reason.
    """
    refusals = []
    if not found.is_loopback and not (has_account or has_token):
        refusals.append(
            f"server.listen: {shown(config.listen)} can be reached by others, and there is neither"
            f" an account nor a token; make the first one: {FIRST_ACCOUNT}"
        )
    if not found.is_loopback and found.tls is Tls.OFF and not config.trusted_proxies:
        refusals.append(
            f"server.tls: {shown(config.listen)} can be reached by others, and passwords would be"
            ' read on the way; write tls = "auto", or name the proxy that speaks TLS:'
            ' trusted_proxies = ["IP"]'
        )
    if found.is_open(has_account=has_account) and config.trusted_proxies:
        refusals.append(
            "server.trusted_proxies: while there is no account, everybody behind the proxy would be"
            f" administrator; make the first one: {FIRST_ACCOUNT}"
        )
    if refusals:
        raise ConfigError(refusals)


def allowed_hosts(config: ServerConfig) -> tuple[str, ...]:
    """The names under which this server may be asked for, loopback aside; IPv6 in brackets."""
    named = list(config.allowed_hosts)
    if (host := parse_listen(config.listen)[0]) not in {"0.0.0.0", "::"}:
        named.append(host)
    if config.public_url:
        named.append(urlsplit(config.public_url).hostname or "")
    bare = (name.strip("[]") for name in named if name)
    return tuple(dict.fromkeys(f"[{name}]" if ":" in name else name for name in bare))


def described(config: ServerConfig) -> str:
    """How connections are encrypted, in a sentence for the operator."""
    match listening(config).tls:
        case Tls.AUTO:
            return "TLS: auto, with a certificate authority in the data directory"
        case Tls.OWN:
            return "TLS: with the certificate of tls_cert"
        case Tls.OFF if config.trusted_proxies:
            return "TLS: off; connections are encrypted as far as the proxy"
        case _:
            return "TLS: off, on loopback"
