"""It must be that nobody is let in, and nobody reads along, by accident."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from monitor.errors import ConfigError
from monitor.web.config import ServerConfig
from monitor.web.listening import FIRST_ACCOUNT, Listening, Tls, described, judge, listening

OWN = {"tls_cert": Path("a"), "tls_key": Path("b")}
PROXY = {"trusted_proxies": ("10.0.0.1",)}


def refused(config: ServerConfig, *, account: bool, token: bool) -> list[str]:
    """Why the server does not start; nothing where it does."""
    try:
        judge(config, listening(config), has_account=account, has_token=token)
    except ConfigError as error:
        return error.complaints
    return []


LOCAL, ANY, LAN = "127.0.0.1:1", "0.0.0.0:1", "10.0.0.9:1"


@pytest.mark.parametrize(
    ("listen", "keys", "account", "token", "refusals"),
    [
        # Open: whoever connects is administrator.
        (LOCAL, {}, False, False, []),
        (LOCAL, {"tls": "auto"}, False, False, []),
        (LOCAL, {"tls": "off"}, False, False, []),
        (LOCAL, OWN, False, True, []),
        ("[::1]:1", {}, False, False, []),
        ("[::ffff:127.0.0.1]:1", {}, False, False, []),
        ("localhost:1", {}, False, False, []),
        (LOCAL, PROXY, False, False, ["server.trusted_proxies"]),
        (LOCAL, PROXY, False, True, ["server.trusted_proxies"]),
        (LOCAL, PROXY, True, False, []),
        (LOCAL, PROXY | {"tls": "off"}, True, False, []),
        # Others can reach it: somebody has to be able to prove who they are.
        (LAN, {}, False, False, ["server.listen"]),
        (ANY, {}, False, False, ["server.listen"]),
        ("[::]:1", {}, False, False, ["server.listen"]),
        ("[::ffff:10.0.0.9]:1", {}, False, False, ["server.listen"]),
        ("[fe80::1]:1", {}, False, False, ["server.listen"]),
        (ANY, OWN, False, False, ["server.listen"]),
        (ANY, PROXY | {"tls": "off"}, False, False, ["server.listen"]),
        (ANY, {}, True, False, []),
        (ANY, {}, False, True, []),
        (ANY, {"tls": "auto"}, False, True, []),
        (ANY, OWN, True, True, []),
        (ANY, PROXY, True, False, []),
        # And nobody reads passwords on the way.
        (ANY, {"tls": "off"}, True, True, ["server.tls"]),
        (LAN, {"tls": "off"}, False, False, ["server.listen", "server.tls"]),
        (ANY, PROXY | {"tls": "off"}, True, False, []),
        (ANY, PROXY | {"tls": "off"}, False, True, []),
    ],
)
def test_who_may_reach_it_decides_what_it_takes(
    listen: str, keys: dict[str, object], account: bool, token: bool, refusals: list[str]
) -> None:
    config = ServerConfig(listen=listen, **keys)  # type: ignore[arg-type]
    found = refused(config, account=account, token=token)
    assert [line.split(":")[0] for line in found] == refusals
    for line in found:
        assert line.endswith((FIRST_ACCOUNT, 'trusted_proxies = ["IP"]'))


@pytest.mark.parametrize(
    ("listen", "keys", "mode"),
    [
        (LOCAL, {}, Tls.OFF),
        (LOCAL, {"tls": "auto"}, Tls.AUTO),
        (LOCAL, OWN, Tls.OWN),
        (ANY, {}, Tls.AUTO),
        (ANY, OWN, Tls.OWN),
        (ANY, OWN | {"tls": "auto"}, Tls.OWN),
        (ANY, PROXY, Tls.AUTO),
        (ANY, PROXY | {"tls": "off"}, Tls.OFF),
    ],
)
def test_connections_are_encrypted_where_others_can_reach_them(
    listen: str, keys: dict[str, object], mode: Tls
) -> None:
    config = ServerConfig(listen=listen, **keys)  # type: ignore[arg-type]
    assert listening(config).tls is mode
    assert listening(config).scheme == ("http" if mode is Tls.OFF else "https")
    assert described(config).startswith("TLS: ")


@pytest.mark.parametrize(
    ("answers", "is_local"),
    [
        (["127.0.0.1", "::1"], True),
        (["127.0.0.1", "10.0.0.1"], False),
        (["::1", "0.0.0.0"], False),
    ],
)
def test_a_name_is_loopback_only_with_all_its_addresses(
    monkeypatch: pytest.MonkeyPatch, answers: list[str], is_local: bool
) -> None:
    found = [(0, 0, 0, "", (address, 0)) for address in answers]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    place = listening(ServerConfig(listen="mine:7"))
    assert place == Listening(answers[0], 7, is_local, Tls.OFF if is_local else Tls.AUTO)
    assert place.is_open(has_account=False) is is_local
    assert not place.is_open(has_account=True)


def test_a_name_that_is_gone_is_the_configurations_fault() -> None:
    with pytest.raises(ConfigError, match=r"server\.listen: cannot resolve"):
        listening(ServerConfig(listen="no-such-name.invalid:7"))
