"""What is allowed, by what."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.outbound.addresses import Kind, kind_of, reached
from monitor.outbound.faults import OutboundRefused
from monitor.outbound.guard import Guard, OutboundConfig, network


def allowed(
    address: str, *, host: str = "node.lan", allow: tuple[str, ...] = (), named: str = ""
) -> bool:
    """Whether `host`, which leads to `address`, may be connected to."""
    guard = Guard(
        OutboundConfig(allow=allow).networks, frozenset({(named, 80)} if named else set())
    )
    try:
        guard.judge(host, 80, ipaddress.ip_address(address))
    except OutboundRefused:
        return False
    return True


@pytest.mark.parametrize(
    ("address", "allow", "expected"),
    [
        ("10.1.2.3", "10.0.0.0/8", True),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3", "10.1.2.4", False),
        ("10.1.2.3", "0.0.0.0/0", True),
        ("fd00::1", "fd00::/8", True),
        ("fd00::1", "0.0.0.0/0", False),
        ("198.18.0.1", "198.18.0.0/15", True),
        ("127.0.0.1", "127.0.0.0/8", True),
        ("127.0.0.1", "127.0.0.1/32", True),
        ("127.0.0.1", "0.0.0.0/0", False),
        ("127.0.0.1", "126.0.0.0/7", False),
        ("::1", "::1/128", True),
        ("::1", "::/0", False),
        ("169.254.7.7", "169.254.0.0/16", True),
        ("169.254.7.7", "169.254.0.0/15", False),
        ("169.254.169.254", "169.254.0.0/16", False),
        ("169.254.169.254", "169.254.169.254", True),
        ("fd00:ec2::254", "fd00::/8", False),
        ("fd00:ec2::254", "fd00:ec2::254/128", True),
        ("100.100.100.200", "100.64.0.0/10", False),
        ("0.0.0.0", "0.0.0.0/0", False),
        ("0.0.0.0", "0.0.0.0/32", False),
        ("224.0.0.1", "224.0.0.0/4", False),
        ("64:ff9b::a00:1", "10.0.0.0/8", True),
        ("64:ff9b::a00:1", "64:ff9b::/96", False),
        ("::ffff:10.0.0.1", "10.0.0.0/8", True),
        ("::ffff:127.0.0.1", "::/0", False),
        ("2002:a00:1::", "2002::/16", False),
        ("fe80::1%eth0", "fe80::/10", True),
    ],
)
def test_networks(address: str, allow: str, expected: bool) -> None:
    """It must be that a network allows what it says, and the dangerous only where it means it."""
    assert not allowed(address)
    assert allowed(address, allow=(allow,)) is expected


@pytest.mark.parametrize(
    ("host", "address", "expected"),
    [
        ("10.0.0.1", "10.0.0.1", True),
        ("127.0.0.1", "127.0.0.1", True),
        ("169.254.169.254", "169.254.169.254", True),
        ("0.0.0.0", "0.0.0.0", False),
        ("node.lan", "10.0.0.1", True),
        ("node.lan", "fd00::1", True),
        ("node.lan", "127.0.0.1", False),
        ("node.lan", "169.254.169.254", False),
        ("node.lan", "fe80::1", False),
        ("node.lan", "64:ff9b::7f00:1", False),
        ("localhost", "127.0.0.1", True),
        ("localhost", "::1", True),
        ("localhost", "169.254.169.254", False),
    ],
)
def test_named(host: str, address: str, expected: bool) -> None:
    """It must be that a named address allows itself, and a named name no more than a LAN."""
    assert allowed(address, host=host, named=host) is expected
    assert not allowed(address, host=host, named="other")


def test_port_of_its_own() -> None:
    """It must be that what is named on one port is not allowed on another."""
    guard = Guard(named=frozenset({("10.0.0.1", 81)}))
    with pytest.raises(OutboundRefused):
        guard.judge("10.0.0.1", 80, ipaddress.ip_address("10.0.0.1"))


def test_sentence() -> None:
    """It must be that a refusal says what leads where, and the line that would allow it."""
    with pytest.raises(OutboundRefused) as refusal:
        Guard().judge("node.lan", 80, ipaddress.ip_address("64:ff9b::a00:1"))
    assert refusal.value.detail == (
        '"node.lan" leads to 64:ff9b::a00:1, which carries 10.0.0.1, a private address, which is'
        ' not allowed; [outbound] allow = ["10.0.0.1/32"] would allow it'
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("10.0.0.1/8", 'write "10.0.0.0/8"'),
        ("example.com", "names are allowed by standing where they are used"),
        ("", "expected a network"),
        ("10.0.0.0/33", "expected a network"),
        ("fe80::1%eth0", "expected a network"),
        ("10.0.0.0-10.0.0.9", "expected a network"),
    ],
)
def test_no_network(text: str, complaint: str) -> None:
    """It must be that what is no network is refused with what was meant."""
    with pytest.raises(ValueError, match=complaint):
        network(text)


@given(st.ip_addresses())
def test_every_address(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """It must be that every address has a kind, and that Python calls no public one private."""
    kinds = {kind_of(each) for each in reached(address)}
    assert kinds
    if kinds == {Kind.PUBLIC} and address not in ipaddress.ip_network("64:ff9b::/96"):
        special = (
            address.is_private,
            address.is_loopback,
            address.is_multicast,
            address.is_link_local,
            address.is_unspecified,
        )
        assert not any(special)
