"""The server's own agent, handed out: it must be that ..."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import re
import ssl
import subprocess
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from monitor.errors import StartError
from monitor.tls.folder import kept
from monitor.web import bundle, pasting
from monitor.web.app import create_app
from monitor.web.config import ServerConfig
from monitor.web.forwarded import Proxies
from monitor.web.installing import script
from monitor.web.trust import Trust, is_behind_a_proxy, trust
from tests.serving import ROOT
from tests.web.calling import Caller
from tests.web.house import PeopledRig

NOW = 1_800_000_000.0
PRIVATE = Trust(b"PEM\n", "sha256:" + "ab" * 32, "sha256//AAAA=", is_private=True)
PUBLIC = dataclasses.replace(PRIVATE, is_private=False)


@pytest_asyncio.fixture
async def rig() -> AsyncIterator[PeopledRig]:
    made = PeopledRig()
    async with made.serving():
        yield made


def caller(rig: PeopledRig, found: Trust | None = None, public_url: str = "") -> Caller:
    """The application of a server that shows this certificate, and is `public_url` to others."""
    services = dataclasses.replace(rig.services, trust=lambda: found, public_url=public_url)
    proxies = Proxies.of(("192.0.2.1",), "https://mon.example", lambda: False)
    return Caller(create_app(services, ("mon.example", "[2001:db8::1]"), proxies))


async def test_the_script_names_a_wheel_that_is_what_it_says(rig: PeopledRig) -> None:
    """It must be that name and checksum in the script are those of what is served."""
    ask = caller(rig)
    text = (await ask("GET", "/install.sh")).body.decode()
    said = dict(re.findall(r"^([A-Z0-9]+)='(.*)'$", text, re.MULTILINE))
    assert said["SERVER"] == "http://127.0.0.1:9000"
    assert said["PIN"] == ""
    wheel = await ask("GET", f"/{said['WHEEL']}")
    assert (wheel.status, wheel.headers["content-type"]) == (200, "application/zip")
    assert hashlib.sha256(wheel.body).hexdigest() == said["SHA256"]
    assert zipfile.ZipFile(io.BytesIO(wheel.body)).testzip() is None
    assert not re.search(r"@[A-Z0-9]+@", text)
    assert (ROOT / "deploy/awoooi-monitor-agent.service").read_text() in text
    assert (await ask("GET", "/awoooi_monitor_agent-0.0.0-py3-none-any.whl")).status == 404


async def test_what_was_fetched_is_not_sent_again(rig: PeopledRig) -> None:
    ask = caller(rig, PRIVATE)
    for path in ("/install.sh", "/ca.pem", f"/{bundle.NAME}"):
        first = await ask("GET", path)
        again = await ask("GET", path, if_none_match=first.headers["etag"])
        assert (first.status, again.status, again.body) == (200, 304, b"")
        head = await ask("HEAD", path)
        assert (head.status, head.headers["etag"]) == (200, first.headers["etag"])


@pytest.mark.parametrize(
    ("host", "server"),
    [
        ("mon.example:8460", "http://mon.example:8460"),
        ("[2001:db8::1]:8460", "http://[2001:db8::1]:8460"),
        ("MON.example", "http://mon.example"),
    ],
)
async def test_the_script_is_for_the_name_that_was_asked(
    rig: PeopledRig, host: str, server: str
) -> None:
    """It must be that a host goes on with the address by which it has come."""
    text = (await caller(rig)("GET", "/install.sh", host=host)).body.decode()
    assert f"\nSERVER='{server}'\n" in text.replace("MON.example", "mon.example")


@pytest.mark.parametrize("host", ["evil.example", "a'b", "mon.example;id", "$(id)"])
async def test_a_name_that_is_not_ours_gets_no_script(rig: PeopledRig, host: str) -> None:
    answer = await caller(rig)("GET", "/install.sh", host=host)
    assert answer.status in {400, 421}
    assert b"SERVER=" not in answer.body


async def test_a_private_authority_is_pinned_and_a_public_one_is_not(rig: PeopledRig) -> None:
    private = (await caller(rig, PRIVATE)("GET", "/install.sh")).body.decode()
    assert f"\nPIN='{PRIVATE.pin}'\nKEY='{PRIVATE.key_pin}'\n" in private
    public = (await caller(rig, PUBLIC)("GET", "/install.sh")).body.decode()
    assert "\nPIN=''\nKEY=''\n" in public
    assert (await caller(rig, PUBLIC)("GET", "/ca.pem")).body == b"PEM\n"


async def test_behind_a_proxy_its_certificate_counts(rig: PeopledRig) -> None:
    """It must be that nobody is told to pin a certificate which the proxy does not show."""
    ask = caller(rig, PRIVATE)
    ask.address = "192.0.2.1"
    text = (
        await ask(
            "GET",
            "/install.sh",
            host="mon.example",
            x_forwarded_for="198.51.100.7",
            x_forwarded_proto="https",
        )
    ).body.decode()
    assert "\nSERVER='https://mon.example'\n" in text
    assert "\nPIN=''\n" in text


async def test_without_tls_there_is_no_authority(rig: PeopledRig) -> None:
    answer = await caller(rig)("GET", "/ca.pem")
    assert (answer.status, answer.code) == (404, "not_found")


async def test_what_cannot_be_made_is_our_fault_for_now(
    rig: PeopledRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must be that neither a traceback nor a path comes out, and that it is tried again."""

    def broken() -> bundle.Bundle:
        raise StartError("the package websockets is not installed: /secret/place")

    with monkeypatch.context() as patched:
        patched.setattr(bundle, "bundle", broken)
        ask = caller(rig)
        answer = await ask("GET", "/install.sh")
        assert (answer.status, answer.code) == (503, "unavailable")
        assert b"/secret" not in answer.body
    assert (await ask("GET", "/install.sh")).status == 200

    def unreadable() -> Trust | None:
        raise PermissionError(13, "Permission denied", "/secret/place")

    services = dataclasses.replace(rig.services, trust=unreadable)
    answer = await Caller(create_app(services))("GET", "/ca.pem")
    assert (answer.status, b"/secret" in answer.body) == (503, False)


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_the_script_is_one_that_shells_read(shell: str, tmp_path: Path) -> None:
    """It must be that it is plain sh, and that piped in alone it does nothing but say what."""
    text = script("https://mon.example:8460", PRIVATE, "0" * 64)
    done = subprocess.run(
        [shell],
        input=text,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert "nothing was done" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("cut", [0.2, 0.5, 0.9, 0.99])
def test_a_script_that_was_cut_off_does_nothing(cut: float, tmp_path: Path) -> None:
    """It must be that half of it, with the line after it, installs nothing."""
    text = script("http://127.0.0.1:1", None, "0" * 64)
    half = text[: int(len(text) * cut)]
    done = subprocess.run(
        ["sh"],
        input=f"{half}\nenrol agt_x --prefix {tmp_path}/agent\n",
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode != 0
    assert not list(tmp_path.iterdir())


# By what it is known


def test_our_own_certificate_is_known_by_its_authority_and_its_key(tmp_path: Path) -> None:
    """It must be that the key's pin outlives a renewal, as the authority's does."""
    config = ServerConfig(listen="0.0.0.0:8460")
    assert trust(config, tmp_path, is_local=False) is None
    made = kept(tmp_path, ("mon.example",), NOW)
    found = trust(config, tmp_path, is_local=False)
    assert found is not None
    assert (found.pin, found.is_private) == (made.authority_fingerprint, True)
    der = ssl.PEM_cert_to_DER_cert(found.authority.decode())
    assert f"sha256:{hashlib.sha256(der).hexdigest()}" == found.pin
    leaf = x509.load_pem_x509_certificates(made.server.read_bytes())[0]
    key = leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    digest = base64.b64encode(hashlib.sha256(key).digest()).decode()
    assert found.key_pin == f"sha256//{digest}"
    later = kept(tmp_path, ("mon.example", "other.example"), NOW + 380 * 86_400)
    assert later.fingerprint != made.fingerprint
    assert trust(config, tmp_path, is_local=False) == found
    kept(tmp_path, ("mon.example",), NOW, anew=True)
    anew = trust(config, tmp_path, is_local=False)
    assert anew is not None
    assert anew.key_pin != found.key_pin


def test_an_operators_certificate_is_pinned_where_no_system_knows_it(tmp_path: Path) -> None:
    """It must be that a chain up to an authority of one's own is private, and one without not."""
    made = kept(tmp_path, ("mon.example",), NOW)
    chain = x509.load_pem_x509_certificates(made.server.read_bytes())
    for certificates, is_private in ((chain, True), (chain[:1], False)):
        path = tmp_path / "chain.pem"
        path.write_bytes(b"".join(each.public_bytes(Encoding.PEM) for each in certificates))
        config = ServerConfig(listen="0.0.0.0:8460", tls_cert=path, tls_key=path)
        found = trust(config, None, is_local=False)
        assert found is not None
        assert found.is_private is is_private
        assert found.authority == certificates[-1].public_bytes(Encoding.PEM)


def test_who_shows_no_certificate_is_known_by_none(tmp_path: Path) -> None:
    kept(tmp_path, ("mon.example",), NOW)
    assert trust(ServerConfig(), tmp_path, is_local=True) is None
    proxied = ServerConfig(
        tls="off", trusted_proxies=("192.0.2.1",), public_url="https://mon.example"
    )
    assert trust(proxied, tmp_path, is_local=False) is None
    assert is_behind_a_proxy(proxied)
    assert not is_behind_a_proxy(ServerConfig())


# The line


def test_the_line_pins_what_no_system_knows() -> None:
    """It must be that -k never stands without a pin, and a pin never where none is needed."""
    line = pasting.piped("https://mon.example", PRIVATE, "upgrade")
    assert line == (
        " { curl -fsSk --pinnedpubkey sha256//AAAA= https://mon.example/install.sh"
        " && echo upgrade; } | $(command -v sudo) sh"
    )
    for found in (PUBLIC, None):
        line = pasting.piped("https://mon.example", found, "upgrade")
        assert " curl -fsS https://mon.example/install.sh " in line


async def test_the_page_hands_out_the_line_for_others(rig: PeopledRig) -> None:
    """It must be that an administrator on loopback is told the address that others have."""
    for public, wanted in (
        ("", "http://127.0.0.1:9000/install.sh"),
        ("https://mon.example", "--pinnedpubkey sha256//AAAA= https://mon.example/install.sh"),
    ):
        ask = caller(rig, PRIVATE, public)
        fields = {"kind": "agent", "host": f"web-{len(public)}"}
        text = (await ask("POST", "/settings/tokens", fields)).body.decode()
        token = re.search(r"agt_[0-9a-f]{10}_[A-Za-z0-9]{43}", text)
        assert token is not None
        assert f"{wanted} &amp;&amp; echo enrol {token[0]} --name web-" in text
