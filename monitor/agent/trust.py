"""Whom an agent believes to be its server: the system's authorities, a file, or a pin.

A pin is the SHA-256 of one certificate: of the server's own, or of the authority that signed
it.  Which of the two it is, the server's certificate tells; where it is the authority's, that
certificate is fetched from the server over a connection that is not trusted yet and that carries
no credentials, believed because its digest is the pin, and kept.  Nothing else is sent before
the certificate has been judged.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import os
import re
import socket
import ssl
from pathlib import Path
from typing import Any

from monitor.agent.place import Place

LOOK_SECONDS = 10.0
"""How long the look at a server's certificate may take."""

MOST_ANSWER_BYTES = 65_536
"""Of what is read when the authority's certificate is asked for."""

AUTHORITY_PATH = "/ca.pem"
AUTHORITY_FILE = "ca.pem"
"""Where the server shows its authority's certificate, and where it is kept in the spool."""

_PIN = re.compile(r"sha256:([0-9a-fA-F]{64})\Z")
_PEM = re.compile(
    rb"-----BEGIN CERTIFICATE-----\s(.{1,16384}?)-----END CERTIFICATE-----", re.DOTALL
)


class Untrusted(Exception):
    """The server is not the one that is meant; the text says why, for the operator."""


def parse_pin(text: str) -> bytes:
    """The digest that a pin writes.  Raises `ValueError` with a sentence for the operator."""
    found = _PIN.match(text.strip())
    if found is None:
        raise ValueError("expected sha256: and the 64 hex digits that monitor tls init shows")
    return bytes.fromhex(found[1])


class Trust:
    """What TLS connections to one server are made with.

    `pin` wins over `authority`, a file of certificates; with neither the system's authorities
    are believed.  `folder` is where a pinned authority's certificate is kept, if anywhere.
    """

    def __init__(
        self,
        place: Place,
        pin: bytes | None = None,
        authority: Path | None = None,
        folder: Path | None = None,
    ) -> None:
        self._place = place
        self._pin = pin
        self._authority = authority
        self._kept = folder / AUTHORITY_FILE if folder is not None else None
        self._context: ssl.SSLContext | None = None

    @property
    def is_settled(self) -> bool:
        """Whether `context` answers without asking the server or the disk."""
        return self._context is not None or not self._place.is_secure

    def context(self) -> ssl.SSLContext | None:
        """The TLS context, none for plain HTTP.  It may block, for `LOOK_SECONDS` at most.

        Raises `Untrusted`, and `OSError` where the server cannot be asked.
        """
        if self._context is None and self._place.is_secure:
            self._context = self._made()
        return self._context

    def _made(self) -> ssl.SSLContext:
        if self._pin is None:
            try:
                return ssl.create_default_context(
                    cafile=None if self._authority is None else str(self._authority)
                )
            except OSError as error:  # ssl.SSLError is one
                raise Untrusted(f"{self._authority} cannot be used: {error}") from None
        kept = self._kept_authority()
        if kept is not None:
            return _of_authority(kept)
        leaf, authorities = look(self._place, self._pin)
        if leaf:
            return _of_leaf(self._pin)
        for der in authorities:
            if _is(der, self._pin):
                self._keep(der)
                return _of_authority(der)
        raise Untrusted(
            f"neither the certificate of {self._place} nor its authority's is the pinned one:"
            " another machine answers there, or the server has a new authority"
        )

    def _kept_authority(self) -> bytes | None:
        if self._kept is None or self._pin is None:
            return None
        try:
            found = certificates(self._kept.read_bytes()[:MOST_ANSWER_BYTES])
        except OSError:
            return None
        return next((der for der in found if _is(der, self._pin)), None)

    def _keep(self, der: bytes) -> None:
        """Keep the authority; without it the server is only asked again."""
        if self._kept is None:
            return
        made = self._kept.with_suffix(".new")
        with contextlib.suppress(OSError):
            made.write_text(ssl.DER_cert_to_PEM_cert(der))
            os.replace(made, self._kept)  # noqa: PTH105 - as one step


def certificates(content: bytes) -> list[bytes]:
    """The certificates that stand in a text as PEM, in DER; what is none is passed over."""
    found = []
    for inner in _PEM.findall(content):
        with contextlib.suppress(binascii.Error):
            found.append(base64.b64decode(b"".join(inner.split()), validate=True))
    return found


def look(place: Place, pin: bytes) -> tuple[bool, list[bytes]]:
    """Whether the server's certificate is the pinned one; if not, the authorities that it shows.

    The connection is not trusted and carries nothing but the request for a public file.
    """
    context = _unverified()
    address = (place.host, place.port)
    with (
        socket.create_connection(address, LOOK_SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=place.host) as secured,
    ):
        if _is(secured.getpeercert(binary_form=True), pin):
            return True, []
        request = (
            f"GET {place.prefix}{AUTHORITY_PATH} HTTP/1.1\r\nHost: {place.authority}\r\n"
            "Accept: */*\r\nConnection: close\r\n\r\n"
        )
        secured.sendall(request.encode())
        answer = b""
        while len(answer) < MOST_ANSWER_BYTES and (piece := _received(secured)):
            answer += piece
    return False, certificates(answer)


def _received(secured: ssl.SSLSocket) -> bytes:
    try:
        return secured.recv(MOST_ANSWER_BYTES)
    except ssl.SSLEOFError:
        return b""  # a peer that ends without TLS's goodbye; the digest judges what came


def _is(der: bytes | None, pin: bytes) -> bool:
    return der is not None and hmac.compare_digest(hashlib.sha256(der).digest(), pin)


def _unverified() -> ssl.SSLContext:
    """A context for looking only: what is seen through it is judged by its digest."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # allowed: who answers is judged by its digest
    return context


def _of_authority(der: bytes) -> ssl.SSLContext:
    """Believes what this authority signed, for the server's name, and nothing else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=der)
    except ssl.SSLError as error:
        raise Untrusted(f"the pinned authority cannot be used: {error}") from None
    return context


def _of_leaf(pin: bytes) -> ssl.SSLContext:
    """Believes this one certificate, whatever names it has and whoever signed it."""
    context = _unverified()
    context.sslobject_class = _pinned(ssl.SSLObject, pin)
    context.sslsocket_class = _pinned(ssl.SSLSocket, pin)
    return context


def _pinned(of: type[Any], pin: bytes) -> type[Any]:
    """This class of TLS connections, whose handshake fails at any other certificate."""

    class Pinned(of):  # type: ignore[misc]
        def do_handshake(self, *arguments: Any) -> None:
            super().do_handshake(*arguments)
            if not _is(self.getpeercert(True), pin):
                raise ssl.SSLCertVerificationError(
                    1, "the server's certificate is not the pinned one"
                )

    return Pinned
