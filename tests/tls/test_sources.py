"""It must be that a certificate is looked after while it is used, and a bad new one is not."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from structlog.testing import capture_logs

from monitor.errors import ConfigError
from monitor.tls.making import authority, moment, signed
from monitor.tls.sources import Given, Made

NOW = 1_790_000_000.0
DAY = 86_400.0


@dataclass
class Clock:
    now: float = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@dataclass
class Files:
    """An operator's certificate and key, as some tool would renew them."""

    certificate: Path
    key: Path

    def write(self, at: float = NOW) -> None:
        content = signed(authority("ca", moment(at)), ("mon.lan",), moment(at))
        key, begin, rest = content.partition(b"-----BEGIN CERTIFICATE-----")
        for path, data in ((self.certificate, begin + rest), (self.key, key)):
            new = path.with_suffix(".new")
            new.write_bytes(data)
            new.chmod(0o600)
            new.replace(path)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    found = Files(tmp_path / "cert.pem", tmp_path / "key.pem")
    found.write()
    return found


def test_our_own_is_renewed_before_it_ends(tmp_path: Path, clock: Clock) -> None:
    source = Made(tmp_path, lambda: ("localhost",), clock)
    first, pin, ends = source.current(), source.pin, source.ends_at
    assert source.lines == (f"certificate authority: {tmp_path}/tls/ca.pem, {pin}",)
    with capture_logs() as said:
        source.look()
        assert source.current() is first
        clock.now = ends - 31 * DAY
        source.look()
        assert source.current() is first
        clock.now = ends - 29 * DAY
        source.look()
    assert source.current() is not first
    assert source.ends_at > ends + 300 * DAY
    assert source.pin == pin
    assert [line["event"] for line in said] == ["the certificate was renewed"]


def test_our_own_follows_the_machines_addresses(tmp_path: Path, clock: Clock) -> None:
    found = ["localhost"]
    source = Made(tmp_path, lambda: found, clock)
    first = source.current()
    found.append("10.0.0.9")
    source.look()
    assert source.current() is not first


def test_what_cannot_be_renewed_is_said_once_and_goes_on(tmp_path: Path, clock: Clock) -> None:
    source = Made(tmp_path, lambda: ("localhost",), clock)
    first = source.current()
    (tmp_path / "tls/ca.key").write_bytes(b"damaged")
    with capture_logs() as said:
        source.look()
        source.look()
    assert source.current() is first
    assert [line["event"] for line in said] == ["the certificate cannot be looked after"]


def test_the_operators_is_read_again_when_it_changes(files: Files, clock: Clock) -> None:
    source = Given(files.certificate, files.key, clock)
    first, pin = source.current(), source.pin
    assert source.lines == (f"certificate: {files.certificate}, {pin}",)
    source.look()
    assert source.current() is first
    files.write()
    with capture_logs() as said:
        source.look()
    assert source.current() is not first
    assert source.pin != pin
    assert [line["event"] for line in said] == ["the certificate was read again"]


def test_symbolic_links_are_followed(files: Files, clock: Clock, tmp_path: Path) -> None:
    """It must be that what a tool that renews certificates lays out can be named as it is."""
    live = tmp_path / "live"
    live.mkdir()
    (live / "cert.pem").symlink_to(files.certificate)
    (live / "key.pem").symlink_to(files.key)
    source = Given(live / "cert.pem", live / "key.pem", clock)
    pin = source.pin
    other = Files(tmp_path / "cert2.pem", tmp_path / "key2.pem")
    other.write()
    for name, path in (("cert.pem", other.certificate), ("key.pem", other.key)):
        (live / "new").symlink_to(path)
        (live / "new").replace(live / name)
    source.look()
    assert source.pin != pin


def with_other_key(files: Files) -> None:
    other = Files(files.certificate.with_name("c"), files.key.with_name("k"))
    other.write()
    other.key.replace(files.key)


def with_encrypted_key(files: Files) -> None:
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )


def with_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


BAD: list[tuple[Callable[[Files], object], str]] = [
    (lambda files: files.certificate.unlink(), "tls_cert: {cert}: No such file"),
    (lambda files: files.certificate.write_text("x"), "tls_cert: {cert} holds no certificate"),
    (lambda files: files.certificate.write_text(""), "tls_cert: {cert} holds no certificate"),
    (lambda files: with_fifo(files.certificate), "tls_cert: {cert} holds no certificate"),
    (lambda files: files.key.unlink(), "tls_key: {key} is not there"),
    (lambda files: with_fifo(files.key), "tls_key: {key} is no regular file"),
    (lambda files: files.key.write_text("hunter2"), "tls_key: {key} holds no key"),
    (lambda files: files.key.chmod(0o640), "tls_key: {key} can be used by others (mode 0640)"),
    (with_other_key, "tls_key: {key} is not the key of {cert}"),
    (with_encrypted_key, "tls_key: {key} is encrypted"),
    (lambda files: files.write(NOW - 500 * DAY), "tls_cert: {cert} ended on 20"),
    (lambda files: files.write(NOW + 2 * DAY), "tls_cert: {cert} begins on 20"),
]


@pytest.mark.parametrize(("harm", "said"), BAD)
def test_a_bad_one_is_refused_at_the_start_and_not_used_later(
    files: Files, clock: Clock, harm: Callable[[Files], object], said: str
) -> None:
    source = Given(files.certificate, files.key, clock)
    first = source.current()
    harm(files)
    expected = said.format(cert=files.certificate, key=files.key)
    with pytest.raises(ConfigError) as refusal:
        Given(files.certificate, files.key, clock)
    (line,) = refusal.value.complaints
    assert line.startswith("server." + expected)
    assert "hunter2" not in line
    with capture_logs() as logged:
        if not said.endswith("(mode 0640)"):  # a mode alone is no new file
            source.look()
            source.look()
            assert [line["event"] for line in logged] == ["the new certificate is not used"]
    assert source.current() is first
    files.key.unlink(missing_ok=True)
    files.certificate.unlink(missing_ok=True)
    files.write()
    source.look()
    assert source.current() is not first


def test_an_end_that_comes_near_is_said_once_a_day(files: Files, clock: Clock) -> None:
    source = Given(files.certificate, files.key, clock)
    with capture_logs() as said:
        source.look()
        clock.now = source.ends_at - 10 * DAY
        source.look()
        source.look()
        clock.now += DAY
        source.look()
        clock.now = source.ends_at + DAY
        source.look()
    assert [line["days_left"] for line in said] == [10.0, 9.0, -1.0]
    assert isinstance(source.current(), ssl.SSLContext)
    (found, *_) = x509.load_pem_x509_certificates(files.certificate.read_bytes())
    assert found.not_valid_after_utc.timestamp() == source.ends_at
