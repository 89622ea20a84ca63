"""How TLS is spoken: one place for versions, ciphers and protocols."""

from __future__ import annotations

import ssl
from pathlib import Path

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2; those of 1.3 are all as good."""


def context(certificate: Path | str, key: Path | str | None = None) -> ssl.SSLContext:
    """What a server speaks TLS with: 1.2 and up, forward secrecy, HTTP/1.1 and nothing else.

    Without `key` that is in the same file.  Raises `OSError`, of which `ssl.SSLError` is one,
    where the files are no certificate and its key, and `ValueError` where the key is encrypted.
    """
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found.minimum_version = ssl.TLSVersion.TLSv1_2
    found.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    found.set_ciphers(CIPHERS)
    found.set_alpn_protocols(["http/1.1"])
    found.load_cert_chain(certificate, key, password=_no_password)
    return found


def _no_password() -> str:
    # OpenSSL would ask for it on the terminal.
    raise ValueError("the key is encrypted; give one that is not, in a file nobody else may read")
