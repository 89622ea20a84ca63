"""Secrets that we make: tokens and the cookies of sessions.

Each is ``PREFIX_ID_SECRET``: the prefix says to people and secret scanners what it is, the id finds
the record, and the secret, 256 random bits in base 62, is compared in constant time by its
SHA-256.  What is shown once is kept nowhere.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import string
from dataclasses import dataclass

AGENT_PREFIX = "agt"
OTHER_PREFIX = "mon"
SESSION_PREFIX = "ses"

LONGEST_CHARACTERS = 128
"""No credential of ours is longer; what is longer is not looked at."""

_ALPHABET = string.ascii_letters + string.digits
_SECRET_CHARACTERS = 43
"""62^43 is more than 2^256."""

_FORM = re.compile(r"(agt|mon|ses)_([0-9a-f]{10})_([A-Za-z0-9]{43})", re.ASCII)

_NOBODYS = "0" * 64
"""What a credential without a record is compared with, so that it takes as long."""


@dataclass(frozen=True, slots=True)
class Credential:
    """One that was just made: `text` is shown once, `hash` is kept."""

    id: str
    text: str
    hash: str


def make(prefix: str) -> Credential:
    """A new credential."""
    id_ = secrets.token_hex(5)
    secret = "".join(secrets.choice(_ALPHABET) for _ in range(_SECRET_CHARACTERS))
    text = f"{prefix}_{id_}_{secret}"
    return Credential(id_, text, _hashed(text))


def found_id(text: str, *prefixes: str) -> str | None:
    """The id in a credential's text, none where it is no credential of these kinds."""
    if len(text) > LONGEST_CHARACTERS:
        return None
    match = _FORM.fullmatch(text)
    return match[2] if match is not None and match[1] in prefixes else None


def is_right(text: str, kept: str | None) -> bool:
    """Whether a credential's text is the one whose hash was kept; in the same time if none was."""
    return hmac.compare_digest(_hashed(text).encode(), (kept or _NOBODYS).encode())


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
