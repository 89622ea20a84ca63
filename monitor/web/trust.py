"""By what others know this server's certificate: the authority, and the pins.

It reads the files that the server itself shows; it makes none.  Two pins, because two kinds of
programs are told: agents pin the authority's certificate, which signs what comes after; curl pins
the key of the server's own, which stays when the certificate is renewed.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path

from monitor.web.config import ServerConfig
from monitor.web.listening import Tls, tls_mode

MADE = Path("tls") / "server.pem"
"""Below the data directory: the certificate of our own making, with its authority's."""

MOST_BYTES = 1 << 20
"""The longest chain."""


@dataclass(frozen=True, slots=True)
class Trust:
    """What a host is to be told, that it may know this server."""

    authority: bytes
    """The certificate at the top of the chain, as PEM."""
    pin: str
    """``sha256:HEX`` of that certificate as DER, as agents pin it."""
    key_pin: str
    """``sha256//BASE64`` of the server's public key, as curl and wget pin it."""
    is_private: bool
    """Whether the top signed itself: then no system knows it, and whoever comes is told the pins.
    Otherwise the chain ends below an authority that systems know."""


def trust(config: ServerConfig, data_dir: Path | None, *, is_local: bool) -> Trust | None:
    """By what to know the certificate that a server of this configuration shows.

    None where it shows none, or where it has made none yet.  Raises `OSError` or `ValueError`
    where the files cannot be read.
    """
    match tls_mode(config, is_local=is_local):
        case Tls.OWN if config.tls_cert is not None:
            return _of(config.tls_cert)
        case Tls.AUTO if data_dir is not None and (data_dir / MADE).exists():
            return _of(data_dir / MADE)
    return None


def is_behind_a_proxy(config: ServerConfig) -> bool:
    """Whether those who come by the public address see a proxy's certificate, and not ours."""
    return bool(config.trusted_proxies) and config.public_url is not None


def _of(path: Path) -> Trust:
    # cryptography takes a while to import, and servers on loopback have no use for it.
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
        Encoding,
        PublicFormat,
    )

    with path.open("rb") as file:
        chain = x509.load_pem_x509_certificates(file.read(MOST_BYTES))
    server, top = chain[0], chain[-1]
    key = server.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    der = top.public_bytes(Encoding.DER)
    return Trust(
        authority=top.public_bytes(Encoding.PEM),
        pin=f"sha256:{hashlib.sha256(der).hexdigest()}",
        key_pin=f"sha256//{base64.b64encode(hashlib.sha256(key).digest()).decode()}",
        is_private=top.subject == top.issuer,
    )
