"""It must be that an authority is made once and kept, and never replaced without being told to."""

from __future__ import annotations

import hashlib
import os
import shutil
import ssl
import stat
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from monitor.errors import StartError
from monitor.tls.folder import kept
from monitor.tls.making import LASTS, RENEW_BEFORE, fingerprint
from tests.serving import checkout_environment

NOW = datetime(2026, 11, 22, tzinfo=UTC).timestamp()
NAMES = ("mon.lan", "localhost", "127.0.0.1", "::1")
DAY = 86_400.0


def parsed(path: Path) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(path.read_bytes())


def test_what_is_made_is_what_agents_and_browsers_take(tmp_path: Path) -> None:
    found = kept(tmp_path / "data", NAMES, NOW)
    folder = tmp_path / "data/tls"
    (signer,) = parsed(folder / "ca.pem")
    leaf, beside = parsed(folder / "server.pem")
    assert beside == signer
    der = ssl.PEM_cert_to_DER_cert((folder / "ca.pem").read_text())
    assert found.authority_fingerprint == f"sha256:{hashlib.sha256(der).hexdigest()}"
    assert found.fingerprint == fingerprint(leaf)
    assert found.authority == folder / "ca.pem"
    assert found.is_new
    limits = signer.extensions.get_extension_for_class(x509.BasicConstraints)
    assert limits.critical
    assert (limits.value.ca, limits.value.path_length) == (True, 0)
    usage = signer.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.key_cert_sign
    assert not usage.value.digital_signature
    assert signer.not_valid_after_utc - signer.not_valid_before_utc > timedelta(days=3_650)
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc <= LASTS
    assert leaf.not_valid_before_utc.timestamp() < NOW
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["mon.lan", "localhost"]
    assert [str(a) for a in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    use = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(use) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert leaf.public_key() != signer.public_key()
    leaf.verify_directly_issued_by(signer)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is missing")
def test_another_library_finds_no_fault_with_it(tmp_path: Path) -> None:
    found = kept(tmp_path, NAMES, datetime.now(UTC).timestamp())
    line = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver"]
    line += ["-verify_hostname", "mon.lan", "-CAfile", str(found.authority), str(found.server)]
    assert subprocess.run(line, capture_output=True, check=True).stdout.endswith(b": OK\n")


def test_everything_is_for_its_owner_alone(tmp_path: Path) -> None:
    kept(tmp_path / "new/data", NAMES, NOW)
    folder = tmp_path / "new/data/tls"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
    for name in ("ca.key", "server.pem"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    assert sorted(path.name for path in folder.iterdir()) == ["ca.key", "ca.pem", "server.pem"]


def test_it_is_kept_over_a_restart_and_renewed_when_it_is_due(tmp_path: Path) -> None:
    first = kept(tmp_path, NAMES, NOW)
    again = kept(tmp_path, NAMES[::-1], NOW + DAY)
    assert (again.fingerprint, again.is_new) == (first.fingerprint, False)
    fewer = kept(tmp_path, NAMES[:2], NOW + DAY)
    assert fewer.fingerprint == first.fingerprint
    more = kept(tmp_path, (*NAMES, "10.0.0.9"), NOW + DAY)
    assert more.is_new
    assert "10.0.0.9" in more.names
    early = LASTS - RENEW_BEFORE - timedelta(days=1)
    assert not kept(tmp_path, NAMES, NOW + DAY + early.total_seconds() - DAY).is_new
    late = kept(tmp_path, NAMES, NOW + DAY + early.total_seconds() + 2 * DAY)
    assert late.is_new
    # Whoever trusts the authority, or has pinned it, need not be told of any of that.
    assert {each.authority_fingerprint for each in (first, again, fewer, more, late)} == {
        first.authority_fingerprint
    }


def test_what_is_missing_and_can_be_made_again_is(tmp_path: Path) -> None:
    first = kept(tmp_path, NAMES, NOW)
    (tmp_path / "tls/ca.pem").unlink()
    (tmp_path / "tls/server.pem").unlink()
    again = kept(tmp_path, NAMES, NOW)
    assert again.authority_fingerprint == first.authority_fingerprint
    assert again.fingerprint != first.fingerprint
    assert fingerprint(parsed(tmp_path / "tls/ca.pem")[0]) == first.authority_fingerprint


def test_a_new_authority_is_made_only_where_that_is_asked_for(tmp_path: Path) -> None:
    first = kept(tmp_path, NAMES, NOW)
    again = kept(tmp_path, NAMES, NOW, anew=True)
    assert again.authority_fingerprint != first.authority_fingerprint
    assert kept(tmp_path, NAMES, NOW) != first


def swap(path: Path, other: Path) -> None:
    path.write_bytes(other.read_bytes())


def link(path: Path, other: Path) -> None:
    path.unlink()
    path.symlink_to(other)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda at, _: (at / "ca.key").write_bytes(b""), "ca.key holds no key"),
        (lambda at, _: (at / "ca.key").write_bytes(b"\xff" * 900), "ca.key holds no key"),
        (lambda at, _: (at / "ca.key").unlink(), "ca.key is not there"),
        (lambda at, _: os.truncate(at / "ca.key", 400), "ca.key holds no certificate"),
        (lambda at, _: (at / "ca.pem").write_bytes(b"x"), "ca.pem holds no certificate"),
        (lambda at, _: (at / "server.pem").write_bytes(b"x"), "server.pem holds no certificate"),
        (lambda at, other: swap(at / "ca.key", other / "ca.key"), "ca.pem is not the certificate"),
        (lambda at, other: swap(at / "ca.pem", other / "ca.pem"), "ca.pem is not the certificate"),
        (lambda at, other: swap(at / "server.pem", other / "server.pem"), "was not signed by"),
        (lambda at, _: (at / "ca.key").chmod(0o640), "ca.key can be used by others"),
        (lambda at, _: (at / "server.pem").chmod(0o604), "server.pem can be used by others"),
        (lambda at, _: at.chmod(0o755), "tls can be used by others: chmod 700"),
        (lambda at, other: link(at / "ca.key", other / "ca.key"), "ca.key is a symbolic link"),
    ],
)
def test_damage_is_told_and_nothing_is_replaced(tmp_path: Path, harm: object, said: str) -> None:
    kept(tmp_path / "one", NAMES, NOW)
    kept(tmp_path / "two", NAMES, NOW)
    at = tmp_path / "one/tls"
    harm(at, tmp_path / "two/tls")  # type: ignore[operator]
    before = {path.name: path.read_bytes() for path in at.iterdir()}
    with pytest.raises(StartError) as refusal:
        kept(tmp_path / "one", NAMES, NOW)
    assert said in refusal.value.detail
    assert "\n" not in refusal.value.detail
    assert {path.name: path.read_bytes() for path in at.iterdir()} == before


def test_an_authority_that_has_ended_is_told(tmp_path: Path) -> None:
    kept(tmp_path, NAMES, NOW)
    with pytest.raises(StartError, match="has ended; make a new one with monitor tls init"):
        kept(tmp_path, NAMES, NOW + 4_000 * DAY)
    near = kept(tmp_path, NAMES, NOW + 3_600 * DAY)
    assert near.ends_at <= parsed(near.authority)[0].not_valid_after_utc.timestamp()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to give up")
def test_what_root_makes_is_the_data_owners() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # what pytest makes lets nobody else through
        data = folder / "data"
        data.mkdir(mode=0o700)
        os.chown(data, 65_534, 65_534)
        line = [sys.executable, "-m", "monitor", "tls", "init", "--data", str(data)]
        subprocess.run(line, check=True, env=checkout_environment(), cwd=folder)
        for path in (data / "tls", *(data / "tls").iterdir()):
            assert (path.stat().st_uid, path.stat().st_gid) == (65_534, 65_534)


def test_two_that_begin_at_once_have_one_authority(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "monitor", "tls", "init", "--data", str(tmp_path / "data")]
    both = [
        subprocess.Popen(line, stdout=subprocess.PIPE, env=checkout_environment(), cwd=tmp_path)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=30)[0].decode() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert said[0] == said[1]
    assert said[0].startswith(f"certificate authority: {tmp_path}/data/tls/ca.pem, sha256:")
    for secret in (tmp_path / "data/tls/ca.key").read_text().splitlines()[1:-1]:
        assert secret not in said[0]
    forced = subprocess.run(
        [*line, "--force"],
        capture_output=True,
        check=True,
        env=checkout_environment(),
        cwd=tmp_path,
    )
    assert forced.stdout.decode().splitlines()[0] != said[0].splitlines()[0]
