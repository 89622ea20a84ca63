"""Which certificate a server shows: the configuration's word, made one of `monitor.tls`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from monitor.tls.folder import Kept, kept
from monitor.tls.names import names
from monitor.tls.sources import Given, Made, Source
from monitor.web.config import ServerConfig
from monitor.web.listening import Listening, Tls, allowed_hosts


def certificate(
    config: ServerConfig, place: Listening, data_dir: Path, clock: Callable[[], float]
) -> Source | None:
    """The certificate to listen with; none where connections are not encrypted.

    Raises `ConfigError` where the operator's cannot be used, `StartError` where our own cannot.
    """
    if place.tls is Tls.OFF:
        return None
    if config.tls_cert is not None and config.tls_key is not None:
        return Given(config.tls_cert, config.tls_key, clock)
    return Made(data_dir, lambda: names(allowed_hosts(config), place.address), clock)


def made(
    config: ServerConfig, place: Listening, data_dir: Path, now: float, *, anew: bool = False
) -> Kept:
    """The certificate of our own making, whether or not it is the one to listen with."""
    return kept(data_dir, names(allowed_hosts(config), place.address), now, anew=anew)


def require_usable(config: ServerConfig, clock: Callable[[], float]) -> None:
    """Raise `ConfigError` where the operator's certificate could not be used."""
    if config.tls_cert is not None and config.tls_key is not None:
        Given(config.tls_cert, config.tls_key, clock)
