"""The folder ``tls`` of a data directory: what is made there once, and kept.

``ca.key`` holds the authority's key and certificate and is the truth; ``ca.pem`` is its
certificate alone, for those who are to trust it; ``server.pem`` holds the server's key, its
certificate and the authority's.  Each is one file, put in its place whole, so that a power cut
leaves what was there or what comes, and never a key without its certificate.

What is damaged or not of our making is never replaced: agents have pinned it.  A certificate that
is renewed keeps its key, which lines to paste have pinned; it lies beside the authority's, so that
whoever could take the one could take the other.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import socket
import stat
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from monitor.errors import StartError
from monitor.private import read_private
from monitor.tls.making import (
    Authority,
    Key,
    authority,
    fingerprint,
    is_due,
    moment,
    names_of,
    pem,
    signed,
)

FOLDER = "tls"
AUTHORITY_KEY, AUTHORITY, SERVER = "ca.key", "ca.pem", "server.pem"

LOCK_SECONDS = 5.0
"""How long another process may take to make certificates."""

LOOK_SECONDS = 0.05

_ANEW = (
    "put it back from a backup, or make a new authority with monitor tls init --force,"
    " whose fingerprint all agents have to be told"
)


@dataclass(frozen=True, slots=True)
class Kept:
    """What the folder holds, as people and agents know it."""

    authority: Path
    """The authority's certificate, for those who are to trust it."""
    authority_fingerprint: str
    server: Path
    """The server's certificate, the authority's and the key of the first."""
    fingerprint: str
    names: frozenset[str]
    ends_at: float
    """When the server's certificate ends, in Unix seconds."""
    is_new: bool
    """Whether the server's certificate was made just now."""


def kept(data_dir: Path, names: Sequence[str], now: float, *, anew: bool = False) -> Kept:
    """What the folder holds; what is missing or due is made, with `anew` all of it.

    Raises `StartError` where something there is damaged, is not ours, or can be read by others,
    or where it cannot be written.
    """
    folder = data_dir / FOLDER
    try:
        with _locked(folder):
            signer = _authority(folder, now, anew=anew)
            return _server(folder, signer, names, now, anew=anew)
    except OSError as error:
        raise StartError(f"cannot keep certificates in {folder}: {error.strerror}") from None


def _authority(folder: Path, now: float, *, anew: bool) -> Authority:
    key, public = folder / AUTHORITY_KEY, folder / AUTHORITY
    if anew or not any(os.path.lexists(folder / n) for n in (AUTHORITY_KEY, AUTHORITY, SERVER)):
        for name in (SERVER, AUTHORITY):  # first what a new authority would make foreign
            (folder / name).unlink(missing_ok=True)
        made = authority(socket.gethostname(), moment(now))
        _write(key, made.encoded(), 0o600)
        _write(public, pem(made.certificate), 0o644)
        return made
    found = _read_authority(key)
    if found.certificate.not_valid_after_utc <= moment(now):
        raise StartError(
            f"{key}: the certificate authority has ended; make a new one with"
            " monitor tls init --force, and tell all agents its fingerprint"
        )
    if not os.path.lexists(public):
        _write(public, pem(found.certificate), 0o644)
    elif _first_certificate(public, public.read_bytes()) != found.certificate:
        raise StartError(f"{public} is not the certificate of {key.name}: {_ANEW}")
    return found


def _read_authority(path: Path) -> Authority:
    content = _read_private(path)
    key = _key(path, content)
    certificate = _first_certificate(path, content)
    if certificate.public_key() != key.public_key():
        raise StartError(f"{path}: the certificate is not the key's: {_ANEW}")
    return Authority(certificate, key)


def _server(
    folder: Path, signer: Authority, names: Sequence[str], now: float, *, anew: bool
) -> Kept:
    path = folder / SERVER
    is_new = anew or not os.path.lexists(path)
    certificate, key = (None, None) if is_new else _read_server(path, signer)
    if certificate is None or is_due(certificate, names, moment(now)):
        content = signed(signer, names, moment(now), key)
        _write(path, content, 0o600)
        certificate, is_new = _first_certificate(path, content), True
    return Kept(
        authority=folder / AUTHORITY,
        authority_fingerprint=fingerprint(signer.certificate),
        server=path,
        fingerprint=fingerprint(certificate),
        names=names_of(certificate),
        ends_at=certificate.not_valid_after_utc.timestamp(),
        is_new=is_new,
    )


def _read_server(path: Path, signer: Authority) -> tuple[x509.Certificate, Key]:
    content = _read_private(path)
    certificate = _first_certificate(path, content)
    try:
        certificate.verify_directly_issued_by(signer.certificate)
    except (ValueError, TypeError, InvalidSignature):
        raise StartError(f"{path} was not signed by {AUTHORITY_KEY}: {_ANEW}") from None
    key = _key(path, content)
    if certificate.public_key() != key.public_key():
        raise StartError(f"{path}: the certificate is not the key's: {_ANEW}")
    return certificate, key


def _read_private(path: Path) -> bytes:
    if not os.path.lexists(path):
        raise StartError(f"{path} is not there: {_ANEW}")
    try:
        return read_private(path).content
    except ValueError as error:
        raise StartError(f"{path} {error}") from None


def _key(path: Path, content: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        found = serialization.load_pem_private_key(content, None)
    except (ValueError, TypeError):
        found = None
    if not isinstance(found, ec.EllipticCurvePrivateKey):
        raise StartError(f"{path} holds no key that can be read: {_ANEW}")
    return found


def _first_certificate(path: Path, content: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificates(content)[0]
    except (ValueError, IndexError):
        raise StartError(f"{path} holds no certificate that can be read: {_ANEW}") from None


def _write(path: Path, content: bytes, mode: int) -> None:
    """Put a file in its place whole, and on the disk."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(temporary, flags, mode)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """The folder, made where it is missing, for its owner alone and for one process at a time."""
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        if stat.S_IMODE(os.fstat(descriptor).st_mode) & 0o077:
            raise StartError(f"{folder} can be used by others: chmod 700 {folder}")
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES):
                    raise
                if time.monotonic() > deadline:
                    raise StartError(f"another process holds {folder}; try again") from None
                time.sleep(LOOK_SECONDS)
        yield
    finally:
        os.close(descriptor)
