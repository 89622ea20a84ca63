"""Where a server's certificate comes from, and how it is kept while the server runs.

A source gives the context for each new connection.  One is the server's own making, renewed in
time; the other is the operator's files, read again when they change.  What cannot be used is
said, once, and what was there goes on.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from monitor.errors import ConfigError, StartError
from monitor.private import read_private
from monitor.tls.contexts import context
from monitor.tls.folder import Kept, kept
from monitor.tls.making import fingerprint, moment

MADE_SECONDS = 3_600.0
"""How often it is looked whether a certificate of our making is due, or lacks a new address."""

FILES_SECONDS = 60.0
"""How often it is looked whether the operator's files have changed."""

WARN_BEFORE_SECONDS = 14 * 86_400.0
"""How long before its end an operator's certificate is complained of."""

MOST_CERTIFICATE_BYTES = 1 << 20
"""The longest chain."""

_Stamp = tuple[tuple[int, int, int], ...]

_log = structlog.stdlib.get_logger("monitor.tls")


class Source(Protocol):
    """A certificate that is kept."""

    def current(self) -> ssl.SSLContext:
        """What a new connection is to speak TLS with."""

    @property
    def lines(self) -> tuple[str, ...]:
        """What an operator, and whoever is to pin it, wants to know at the start."""

    @property
    def ends_at(self) -> float:
        """When the certificate ends, in Unix seconds."""

    def look(self) -> None:
        """Renew or read again what is due.  Blocks; raises nothing that a later look may mend."""

    async def keep(self) -> None:
        """Look every so often, until cancelled."""


async def _keep(look: Callable[[], None], every_seconds: float) -> None:
    while True:
        await asyncio.sleep(every_seconds)
        await asyncio.to_thread(look)


class Made:
    """A certificate of the server's own making.  Raises `StartError` as `kept` does."""

    def __init__(
        self, data_dir: Path, names: Callable[[], Sequence[str]], clock: Callable[[], float]
    ) -> None:
        self._data_dir = data_dir
        self._names = names
        self._clock = clock
        self._complaint = ""
        self._kept = kept(data_dir, names(), clock())
        self._context = _loaded(self._kept)

    def current(self) -> ssl.SSLContext:
        """What a new connection is to speak TLS with."""
        return self._context

    async def keep(self) -> None:
        """Look after it, until cancelled."""
        await _keep(self.look, MADE_SECONDS)

    @property
    def lines(self) -> tuple[str, ...]:
        """The authority's file and fingerprint: whoever trusts it trusts what is renewed too."""
        return (f"certificate authority: {self._kept.authority}, {self.pin}",)

    @property
    def pin(self) -> str:
        """The authority's fingerprint."""
        return self._kept.authority_fingerprint

    @property
    def ends_at(self) -> float:
        """When the certificate ends, in Unix seconds."""
        return self._kept.ends_at

    def look(self) -> None:
        """Renew the certificate where it is due; what was there goes on where that fails."""
        try:
            found = kept(self._data_dir, self._names(), self._clock())
            if found.fingerprint == self._kept.fingerprint:
                return
            renewed = _loaded(found)
        except StartError as error:
            if error.detail != self._complaint:
                _log.error("the certificate cannot be looked after", reason=error.detail)
            self._complaint = error.detail
            return
        if found.authority_fingerprint != self.pin:
            _log.warning("the certificate authority is another", pin=found.authority_fingerprint)
        self._complaint, self._kept, self._context = "", found, renewed
        _log.info("the certificate was renewed", names=sorted(found.names))


class Given:
    """The operator's certificate and key.

    Raises `ConfigError` where they cannot be used: not there, not each other's, ended, readable
    by others.  Symbolic links are followed, as tools that renew certificates use them.
    """

    def __init__(self, certificate: Path, key: Path, clock: Callable[[], float]) -> None:
        self._files = (certificate, key)
        self._clock = clock
        self._warned_at = 0.0
        self._seen = self._stamp()
        self._certificate, self._context, warning = self._read()
        if warning:
            _log.warning(f"tls_key: {key} {warning}")

    def current(self) -> ssl.SSLContext:
        """What a new connection is to speak TLS with."""
        return self._context

    async def keep(self) -> None:
        """Look after it, until cancelled."""
        await _keep(self.look, FILES_SECONDS)

    @property
    def lines(self) -> tuple[str, ...]:
        """The certificate's file and fingerprint."""
        return (f"certificate: {self._files[0]}, {self.pin}",)

    @property
    def pin(self) -> str:
        """The certificate's fingerprint."""
        return fingerprint(self._certificate)

    @property
    def ends_at(self) -> float:
        """When the certificate ends, in Unix seconds."""
        return self._certificate.not_valid_after_utc.timestamp()

    def look(self) -> None:
        """Read the files where they have changed; what was there goes on where that fails."""
        # The stamp is older than what is read: a change in between is seen by the next look.
        stamp = self._stamp()
        if stamp != self._seen:
            self._seen = stamp
            try:
                self._certificate, self._context, _ = self._read()
            except ConfigError as error:
                _log.error("the new certificate is not used", reason=error.detail)
            else:
                _log.info("the certificate was read again", pin=self.pin)
        now = self._clock()
        if self.ends_at - now < WARN_BEFORE_SECONDS and now - self._warned_at >= 86_400.0:
            self._warned_at = now
            days = round((self.ends_at - now) / 86_400.0, 1)
            _log.warning("the certificate ends soon, or has ended", days_left=days)

    def _stamp(self) -> _Stamp:
        found = []
        for path in self._files:
            try:
                status = path.stat()
            except OSError:
                found.append((0, 0, 0))
            else:
                found.append((status.st_ino, status.st_mtime_ns, status.st_size))
        return tuple(found)

    def _read(self) -> tuple[x509.Certificate, ssl.SSLContext, str | None]:
        path, key_path = self._files
        certificate = _certificate(path)
        now = moment(self._clock())
        if certificate.not_valid_after_utc <= now:
            ended = certificate.not_valid_after_utc.date()
            raise ConfigError([f"server.tls_cert: {path} ended on {ended}: renew it"])
        if certificate.not_valid_before_utc > now:
            begins = certificate.not_valid_before_utc.isoformat(" ", "minutes")
            raise ConfigError([f"server.tls_cert: {path} begins on {begins}: is the clock right?"])
        try:
            key = read_private(Path(os.path.realpath(key_path)))
        except ValueError as error:
            raise ConfigError([f"server.tls_key: {key_path} {error}"]) from None
        _require_pair(path, certificate, key_path, key.content)
        try:
            return certificate, context(path, key_path), key.warning
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise ConfigError([f"server.tls_cert: {path} cannot be used: {reason}"]) from None


def _loaded(found: Kept) -> ssl.SSLContext:
    try:
        return context(found.server)
    except (OSError, ValueError) as error:
        raise StartError(f"{found.server} cannot be used: {error}") from None


def _certificate(path: Path) -> x509.Certificate:
    """The first certificate of a file.  Raises `ConfigError`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            content = file.read(MOST_CERTIFICATE_BYTES) or b""
    except OSError as error:
        reason = error.strerror or "it cannot be read"
        raise ConfigError([f"server.tls_cert: {path}: {reason}"]) from None
    try:
        return x509.load_pem_x509_certificates(content)[0]
    except (ValueError, IndexError):
        raise ConfigError([f"server.tls_cert: {path} holds no certificate as PEM"]) from None


def _require_pair(
    path: Path, certificate: x509.Certificate, key_path: Path, content: bytes
) -> None:
    """Raise `ConfigError` unless a key is a certificate's."""
    try:
        key = serialization.load_pem_private_key(content, None)
    except TypeError:
        raise ConfigError(
            [f"server.tls_key: {key_path} is encrypted; give a key that is not"]
        ) from None
    except ValueError:
        raise ConfigError([f"server.tls_key: {key_path} holds no key as PEM"]) from None
    if key.public_key() != certificate.public_key():
        raise ConfigError([f"server.tls_key: {key_path} is not the key of {path}"])
