"""Addresses as they are written."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.outbound.faults import UrlNotAllowed
from monitor.outbound.guard import Guard
from monitor.outbound.targets import MAIL_PORTS, Place, judge_place, judge_url, parse_host

NOBODY = Guard()

REFUSED = {
    # other schemes, and what is no URL
    "file:///etc/passwd": "expected a URL such as|no name of a host|http or https",
    "gopher://example.com/_x": "http or https",
    "unix:///run/docker.sock": "http or https",
    "ftp://example.com/": "http or https",
    "dict://example.com:11211/": "http or https",
    "ldap://example.com/": "http or https",
    "javascript:alert(1)": "expected a URL",
    "data:text/plain,x": "expected a URL",
    "example.com/path": "expected a URL",
    "//example.com/path": "expected a URL",
    "": "expected a URL",
    "http:/example.com": "expected a URL",
    "http:example.com": "expected a URL",
    " http://example.com": "expected a URL",
    "http://example.com/a b": "expected a URL",
    "http://example.com/\r\nHost: x": "expected a URL",
    "http://example.com/\0": "expected a URL",
    "http://example.com\\@10.0.0.1/": "expected a URL",
    "http:\\\\example.com": "expected a URL",
    "http://": "no name of a host",
    "http:///path": "no name of a host",
    "http://" + "a" * 2050: "more than 2048",
    # user names
    "http://user@example.com/": "user name",
    "http://user:hunter2@example.com/": "user name",
    "http://example.com@127.0.0.1/": "user name",
    "http://example.com:80@127.0.0.1/": "user name",
    # this machine
    "http://127.0.0.1/": "of this machine itself",
    "http://127.8.9.10:9093/": "of this machine itself",
    "http://[::1]/": "of this machine itself",
    "http://[0:0:0:0:0:0:0:1]/": "of this machine itself",
    "http://localhost/": "of this machine itself",
    "http://LOCALHOST./": "of this machine itself",
    "http://a.localhost/": "of this machine itself",
    # odd numbers
    "http://127.1/": "odd way",
    "http://127.0.1/": "odd way",
    "http://2130706433/": "odd way",
    "http://0x7f000001/": "odd way",
    "http://0x7f.0.0.1/": "odd way",
    "http://0177.0.0.1/": "odd way",
    "http://127.0.0.01/": "odd way",
    "http://127.0.0.1./": "odd way",
    "http://0/": "odd way",
    "http://1.2.3.4.5/": "odd way",
    "http://256.1.1.1/": "odd way",
    "http://127.0.0.0x1/": "odd way",
    "http://example.0x/": "odd way",
    "http://１２７.０.０.１/": "no name of a host|odd way",  # noqa: RUF001
    "http://127。0。0。1/": "odd way",
    "http://①②⑦.⓪.⓪.①/": "no name of a host",
    "http://ⓛocalhost/": "no name of a host",
    "http://%31%32%37.0.0.1/": "odd way",
    "http://127.0.0.1%00.example.com/": "no name of a host",
    # addresses within addresses
    "http://[::ffff:169.254.169.254]/": "odd way",
    "http://[::ffff:7f00:1]/": "odd way",
    "http://[::127.0.0.1]/": "odd way",
    "http://[64:ff9b::169.254.169.254]/": "carries 169.254.169.254",
    "http://[64:ff9b::a00:1]/": "carries 10.0.0.1",
    "http://[64:ff9b:1::1.1.1.1]/": "a private address",
    "http://[2002:7f00:1::]/": "a reserved address|carries 127.0.0.1",
    "http://[2001:0:a00:1::f5ff:fffe]/": "a reserved address",
    "http://[2606:4700::5efe:10.0.0.1]/": "carries 10.0.0.1",
    "http://[::ffff:0:10.0.0.1]/": "a reserved address",
    # brackets
    "http://[fe80::1%25eth0]/": "no address|zone",
    "http://[fe80::1%eth0]/": "zone",
    "http://[::1/": "cannot be made out",
    "http://::1/": "port from 1",
    "http://[::1]x/": "cannot be made out",
    "http://[127.0.0.1]/": "no address",
    "http://[v1.x]/": "no address",
    "http://[]/": "no address",
    # kinds
    "http://0.0.0.0/": "never allowed",
    "http://[::]/": "never allowed",
    "http://255.255.255.255/": "never allowed",
    "http://224.0.0.1/": "never allowed",
    "http://[ff02::1]/": "never allowed",
    "http://10.0.0.1/": "a private address",
    "http://172.31.255.255/": "a private address",
    "http://192.168.1.1/": "a private address",
    "http://100.64.0.1/": "a private address",
    "http://[fd12::1]/": "a private address",
    "http://169.254.1.1/": "a link-local address",
    "http://[fe80::1]/": "a link-local address",
    "http://169.254.169.254/latest/meta-data": "clouds hand out credentials",
    "http://100.100.100.200/": "clouds hand out credentials",
    "http://168.63.129.16/": "clouds hand out credentials",
    "http://[fd00:ec2::254]/": "clouds hand out credentials",
    "http://metadata.google.internal./": "clouds hand out credentials",
    "http://240.0.0.1/": "a reserved address",
    "http://192.0.2.1/": "a reserved address",
    "http://198.18.0.1/": "a reserved address",
    "http://[2001:db8::1]/": "a reserved address",
    "http://[100::1]/": "a reserved address",
    "http://[4000::1]/": "a reserved address",
    # ports
    "http://example.com:25/": "port 25 is not for HTTP",
    "http://example.com:6379/": "port 6379 is not for HTTP",
    "https://example.com:22/": "port 22 is not for HTTP",
    "http://example.com:11211/": "port 11211 is not for HTTP",
    "http://example.com:2375/": "port 2375 is not for HTTP",
    "http://example.com:0/": "port from 1",
    "http://example.com:65536/": "port from 1",
    "http://example.com:/": "port from 1",
    "http://example.com:080/": "port from 1",
    "http://example.com:8e1/": "port from 1",
    "http://example.com:+80/": "port from 1",
    "http://example.com:８０/": "port from 1",  # noqa: RUF001
    "http://a:80:90/": "port from 1",
    # names
    "http://example..com/": "no name of a host",
    "http://.example.com/": "no name of a host",
    "http://example.com../": "no name of a host",
    "http://-example.com/": "no name of a host",
    "http://exa$mple.com/": "no name of a host",
    "http://" + "a" * 64 + ".com/": "no name of a host",
    "http://" + "a." * 130 + "com/": "no name of a host",
    "http://example.com/ä": "not ASCII",
}

ALLOWED = {
    "http://example.com": ("http", "example.com", 80, "/"),
    "HTTPS://Example.COM./a/../b?c=d#e": ("https", "example.com", 443, "/a/../b?c=d"),
    "https://example.com:8443?x": ("https", "example.com", 8443, "/?x"),
    "http://bücher.example/": ("http", "xn--bcher-kva.example", 80, "/"),
    "http://xn--bcher-kva.example/": ("http", "xn--bcher-kva.example", 80, "/"),
    "http://node_1:9100/metrics": ("http", "node_1", 9100, "/metrics"),
    "http://1.1.1.1/": ("http", "1.1.1.1", 80, "/"),
    "http://[2606:4700:0::1111]:8080/": ("http", "2606:4700::1111", 8080, "/"),
    "http://[64:ff9b::8.8.8.8]/": ("http", "64:ff9b::808:808", 80, "/"),
    "http://127.0.0.1.example.com/": ("http", "127.0.0.1.example.com", 80, "/"),
    "http://example.com/@x:y": ("http", "example.com", 80, "/@x:y"),
    "http://example.com#@127.0.0.1/": ("http", "example.com", 80, "/"),
}


@pytest.mark.parametrize("url", REFUSED)
def test_refused(url: str) -> None:
    """It must be that what may not be connected to is refused with the rule, and no secret."""
    with pytest.raises(UrlNotAllowed, match=REFUSED[url]) as refusal:
        judge_url(url, NOBODY)
    assert (refusal.value.status, refusal.value.code) == (400, "url_not_allowed")
    assert refusal.value.detail.isprintable()
    assert len(refusal.value.detail) < 300
    assert "hunter2" not in refusal.value.detail
    assert "meta-data" not in refusal.value.detail


@pytest.mark.parametrize("url", ALLOWED)
def test_allowed(url: str) -> None:
    """It must be that what is public is taken apart into one form."""
    target = judge_url(url, NOBODY)
    assert (target.scheme, target.place.host, target.place.port, target.rest) == ALLOWED[url]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.1/",
        "http://[::ffff:169.254.169.254]/",
        "http://2852039166/",
        "file:///etc/passwd",
        "http://me@10.0.0.1/",
        "http://10.0.0.1:25/",
        "http://10.0.0.1:6379/",
        "http://0.0.0.0:8080/",
        "http://metadata.google.internal/",
    ],
)
def test_named_all_the_same(url: str) -> None:
    """It must be that standing in the configuration excuses no odd spelling and no odd port."""
    hosts = ("127.0.0.1", "127.1", "169.254.169.254", "10.0.0.1", "0.0.0.0", "me@10.0.0.1")
    named = {(host, port) for host in hosts for port in (25, 80, 6379, 8080)}
    everything = tuple(map(ipaddress.ip_network, ("0.0.0.0/0", "::/0")))
    with pytest.raises(UrlNotAllowed):
        judge_url(url, Guard(everything, frozenset(named)))


def test_secret_path() -> None:
    """It must be that the path and the query do not show in what prints a target."""
    target = judge_url("https://hooks.example.com/hunter2?hunter2", NOBODY)
    assert "hunter2" not in f"{target} {target!r} {[target]}"


def test_other_protocols() -> None:
    """It must be that mail servers are judged alike, on ports of theirs."""
    assert judge_place(Place("mail.example.com", 587), NOBODY, MAIL_PORTS).port == 587
    with pytest.raises(UrlNotAllowed, match="port 6379 is not for this; 25, 465, 587, 2525 are"):
        judge_place(Place("mail.example.com", 6379), NOBODY, MAIL_PORTS)
    with pytest.raises(UrlNotAllowed, match="a private address"):
        judge_place(Place("10.0.0.1", 25), NOBODY, MAIL_PORTS)


@given(st.text(max_size=40) | st.from_regex(r"[0-9a-fx.:\[\]%]{1,40}", fullmatch=True))
def test_one_form(text: str) -> None:
    """It must be that any host is refused or has a form that is its own."""
    try:
        host = parse_host(text)
    except UrlNotAllowed:
        return
    assert parse_host(f"[{host}]" if ":" in host else host) == host
    assert host.isascii()
    assert host == host.lower()
