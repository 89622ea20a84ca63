"""A channel from its address: which kind it is, and whether it may lead there at all.

Standing in the configuration allows a channel's own host and port, as it does a scrape's target:
a named address itself, a named name private addresses only (`monitor.outbound.guard`).  What hands
out a machine's credentials is no receiver of messages, named or not.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

from monitor.core.quantity import shown
from monitor.core.secret import Secret
from monitor.errors import InputError
from monitor.notify.channel import Channel
from monitor.notify.channels import mail, services
from monitor.notify.channels.alertmanager import PATH, Alertmanager
from monitor.notify.channels.mail import Mail
from monitor.notify.channels.webhook import Webhook
from monitor.notify.config import ChannelConfig
from monitor.outbound.addresses import METADATA, METADATA_NAMES, reached
from monitor.outbound.connecting import Connector, trusting
from monitor.outbound.faults import UrlNotAllowed
from monitor.outbound.guard import Guard
from monitor.outbound.resolving import Resolver
from monitor.outbound.targets import Place, Target, judge_place, judge_url, parse_url

ALERTMANAGER_PORT = 9093
"""Its own, with TLS and without."""

_ALERTMANAGERS = {"alertmanager": "http", "alertmanagers": "https"}


def make(
    name: str,
    config: ChannelConfig,
    guard: Guard,
    resolver: Resolver,
    public_url: str = "",
    clock: Callable[[], float] = time.time,
) -> Channel:
    """The channel of this name.

    Raises `UrlNotAllowed` (``url_not_allowed``) where its address may never be told anything, with
    a sentence that holds nothing of the address but its scheme and host.
    """
    if config.url is None:
        raise UrlNotAllowed("url or url_file is missing: where to?")
    url = config.url.reveal().strip()
    scheme = url.partition("://")[0].lower()
    if config.secret is not None and scheme not in ("http", "https"):
        raise InputError(
            f"a secret signs the messages of a webhook; {shown(scheme)}:// is none",
            code="bad_channel",
            field="secret",
        )
    if scheme in ("http", "https"):
        target = parse_url(url)
        connector = _connector(target.place, guard, resolver)
        judge_url(url, connector.guard)
        return Webhook(
            name,
            Secret(url),
            target,
            connector,
            _tls(target.scheme == "https", config.tls_ca),
            clock,
            secret=config.secret,
            public_url=public_url,
        )
    if scheme in ("mailto", "mailtos"):
        address = mail.parse(url)
        connector = _connector(address.place, guard, resolver)
        judge_place(address.place, connector.guard, frozenset({address.place.port}))
        tls = _tls(is_wanted=True, authorities=config.tls_ca)
        return Mail(name, address, connector, tls, public_url=public_url)
    if scheme in _ALERTMANAGERS:
        own_url, target = _alertmanager(url, scheme)
        connector = _connector(target.place, guard, resolver)
        judge_url(own_url, connector.guard)
        return Alertmanager(
            name,
            Secret(own_url),
            target,
            connector,
            _tls(target.scheme == "https", config.tls_ca),
            clock,
            public_url=public_url,
        )
    return services.make(name, Secret(url), public_url)


def _connector(place: Place, guard: Guard, resolver: Resolver) -> Connector:
    """What connects to this place and is told that the configuration names it."""
    address = place.address
    if place.host in METADATA_NAMES or (
        address is not None and any(each in METADATA for each in reached(address))
    ):
        raise UrlNotAllowed(f"{shown(place.host)} is where clouds hand out credentials")
    named = guard.named | {(place.host, place.port)}
    return Connector(Guard(guard.allow, named), resolver)


def _tls(is_wanted: bool, authorities: Path | None) -> ssl.SSLContext:
    """What certificates are verified with; who speaks no TLS needs no authorities read."""
    if not is_wanted:
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if authorities is None:
        return _system()
    try:
        return trusting(authorities)
    except OSError as error:
        detail = f"the file of authorities cannot be used: {error.strerror or error}"
        raise InputError(detail, code="bad_channel", field="tls_ca") from None


@cache
def _system() -> ssl.SSLContext:
    """What trusts the system's authorities: 20 ms of reading, which a check and a start share."""
    return trusting()


def _alertmanager(url: str, scheme: str) -> tuple[str, Target]:
    """The URL of HTTP that an Alertmanager's address means."""
    rest = url.partition("://")[2]
    authority, slash, path = rest.partition("/")
    if "?" in rest or "#" in rest:
        raise UrlNotAllowed("an Alertmanager's address is alertmanager://HOST:PORT/PATH, no more")
    has_port = ":" in authority.rpartition("]")[2]
    port = "" if has_port else f":{ALERTMANAGER_PORT}"
    path = f"{slash}{path}".rstrip("/")
    made = f"{_ALERTMANAGERS[scheme]}://{authority}{port}{path}{PATH}"
    return made, parse_url(made)
