"""It must be that a certificate is valid for every name by which the server may be asked."""

from __future__ import annotations

import socket

import pytest

from monitor.tls.names import MOST_NAMES, names


def test_configured_names_come_first_and_once() -> None:
    found = names(("Mon.Example.com", "[2001:DB8::1]", "mon.example.com."), "10.0.0.9")
    assert found[:2] == ("mon.example.com", "2001:db8::1")
    assert len(set(found)) == len(found)
    assert {"localhost", "127.0.0.1", "::1", "10.0.0.9"} <= set(found)


@pytest.mark.parametrize("address", ["0.0.0.0", "::"])
def test_every_address_means_those_of_all_interfaces(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    class Address:
        def __init__(self, family: int, address: str) -> None:
            self.family, self.address = family, address

    found = {
        "eth0": [Address(socket.AF_INET, "10.0.0.9"), Address(socket.AF_PACKET, "02:42:ac")],
        "eth1": [Address(socket.AF_INET6, "fe80::1%eth1"), Address(socket.AF_INET6, "fd00::9")],
    }
    monkeypatch.setattr("psutil.net_if_addrs", lambda: found)
    assert {"10.0.0.9", "fd00::9"} <= set(names((), address))
    assert not {"0.0.0.0", "::", "fe80::1", "02:42:ac"} & set(names((), address))
    assert "fd00::9" not in names((), "10.0.0.9")


@pytest.mark.parametrize("odd", ["", "ä.example", "a b", "-", "x" * 300, "*.example.com", "a\n"])
def test_what_a_certificate_cannot_hold_is_left_out(
    monkeypatch: pytest.MonkeyPatch, odd: str
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: odd)
    assert set(names((odd,), "127.0.0.1")) == {"localhost", "127.0.0.1", "::1"}


def test_there_are_so_many_and_no_more() -> None:
    assert len(names([f"h{number}" for number in range(1_000)], "10.0.0.9")) == MOST_NAMES
