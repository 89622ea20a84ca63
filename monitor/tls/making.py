"""A certificate authority of one server, and the certificates that it signs.

It is pure but for randomness: time and names are arguments, and bytes come out.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_LASTS = timedelta(days=3_653)
"""Ten years: whoever trusts it need not be asked again."""

LASTS = timedelta(days=397)
"""The longest that browsers accept."""

EARLIER = timedelta(hours=1)
"""Certificates begin before they are made, for those whose clocks are behind."""

RENEW_BEFORE = timedelta(days=30)
"""When a certificate is renewed before its end."""

Key = ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate that signs, and its key."""

    certificate: x509.Certificate
    key: Key

    def encoded(self) -> bytes:
        """Key and certificate as PEM: one file, so that both are there or neither is."""
        return _encoded_key(self.key) + pem(self.certificate)


def fingerprint(certificate: x509.Certificate) -> str:
    """What agents pin: ``sha256:HEX`` of the certificate as DER."""
    der = certificate.public_bytes(serialization.Encoding.DER)
    return f"sha256:{hashlib.sha256(der).hexdigest()}"


def pem(certificate: x509.Certificate) -> bytes:
    """A certificate as text."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def authority(machine: str, now: datetime) -> Authority:
    """A new authority, which may sign certificates of servers and nothing that signs."""
    key = ec.generate_private_key(ec.SECP256R1())
    serial = x509.random_serial_number()
    # Two authorities of one machine are two subjects, or whoever has both would mix them up.
    name = _name(f"{machine[:40]} CA {serial:040x}")
    begins = now - EARLIER
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(begins)
        .not_valid_after(begins + AUTHORITY_LASTS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate, key)


def signed(by: Authority, names: Sequence[str], now: datetime, key: Key | None = None) -> bytes:
    """A key and its certificate for a server of these names, with the authority's, as PEM.

    The key is a new one unless there is one.
    """
    key = key or ec.generate_private_key(ec.SECP256R1())
    begins = now - EARLIER
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name(names[0]))
        .issuer_name(by.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(max(begins, by.certificate.not_valid_before_utc))
        .not_valid_after(min(begins + LASTS, by.certificate.not_valid_after_utc))
        .add_extension(
            x509.SubjectAlternativeName([_alternative(n) for n in names]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(by.key.public_key()), critical=False
        )
        .sign(by.key, hashes.SHA256())
    )
    return _encoded_key(key) + pem(certificate) + pem(by.certificate)


def names_of(certificate: x509.Certificate) -> frozenset[str]:
    """The names that a certificate is valid for; IPv6 addresses without brackets."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset()
    addresses = found.get_values_for_type(x509.IPAddress)
    return frozenset([*found.get_values_for_type(x509.DNSName), *map(str, addresses)])


def is_due(certificate: x509.Certificate, names: Sequence[str], now: datetime) -> bool:
    """Whether a certificate is to be renewed: it ends soon, or lacks a name.

    Names that it has beyond those do no harm, and addresses of a machine come and go.
    """
    ends_soon = certificate.not_valid_after_utc - now < RENEW_BEFORE
    return ends_soon or not names_of(certificate).issuperset(names)


def moment(now: float) -> datetime:
    """Unix seconds as certificates count time."""
    return datetime.fromtimestamp(now, UTC).replace(microsecond=0)


def _name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Awoooi Monitor"),
            x509.NameAttribute(NameOID.COMMON_NAME, common[:64]),  # as many as X.509 allows
        ]
    )


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _encoded_key(key: Key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
