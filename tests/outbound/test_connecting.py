"""Connections that are made only where they may."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from pathlib import Path

import pytest

from monitor.outbound import connecting
from monitor.outbound.connecting import Connector, trusting
from monitor.outbound.faults import OutboundFailed, OutboundRefused, Reason
from monitor.outbound.guard import Guard
from monitor.outbound.resolving import Resolver
from monitor.outbound.targets import Place
from tests.outbound.servers import certificates, saying, serving

LOOPBACK = Guard((ipaddress.ip_network("127.0.0.0/8"),))


def resolving(*answers: list[str]) -> Resolver:
    """A resolver of these answers, one after another, the last again and again."""
    left = list(answers)
    return Resolver(lambda _: left.pop(0) if len(left) > 1 else left[0])


async def test_rebinding(monkeypatch: pytest.MonkeyPatch) -> None:
    """It must be that DNS is asked once a connection, so that no second answer leads elsewhere."""
    resolver = resolving(["93.184.215.14"], ["127.0.0.1"])
    connector = Connector(Guard(), resolver)
    asked: list[object] = []

    async def connect(_loop: object, _socket: socket.socket, address: object) -> None:
        asked.append(address)
        raise ConnectionRefusedError(111, "refused")

    monkeypatch.setattr(asyncio.SelectorEventLoop, "sock_connect", connect)
    with pytest.raises(OutboundFailed):
        await connector.open(Place("rebinding.example", 80))
    assert asked == [("93.184.215.14", 80)]
    with pytest.raises(OutboundRefused, match=r'"rebinding\.example" leads to 127'):
        await connector.open(Place("rebinding.example", 80))
    assert len(asked) == 1


async def test_other_end_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """It must be that a socket that is connected to another address than was meant is closed."""
    async with serving(saying(b"")) as port:
        here = asyncio.SelectorEventLoop.sock_connect

        async def astray(
            loop: asyncio.SelectorEventLoop, connecting: socket.socket, _address: object
        ) -> None:
            await here(loop, connecting, ("127.0.0.1", port))

        monkeypatch.setattr(asyncio.SelectorEventLoop, "sock_connect", astray)
        with pytest.raises(OutboundRefused, match="of this machine itself"):
            await Connector(Guard(), resolving(["93.184.215.14"])).open(Place("a.example", 80))


async def test_what_may_not_is_left_out() -> None:
    """It must be that of many addresses only those are tried that are allowed."""
    async with serving(saying(b"hello")) as port:
        answers = ["169.254.169.254", "10.255.255.1", "::1", "127.0.0.1"]
        reader, writer = await Connector(LOOPBACK, resolving(answers)).open(Place("a.lan", port))
        assert writer.get_extra_info("peername") == ("127.0.0.1", port)
        writer.write(b"\r\n\r\n")
        assert await reader.readexactly(5) == b"hello"
        writer.transport.abort()


async def test_next_address() -> None:
    """It must be that where one address does not answer the next has its turn."""
    async with serving(saying(b"")) as port:
        found = Connector(LOOPBACK, resolving(["127.0.0.77", "127.0.0.1"]))
        _, writer = await found.open(Place("a.lan", port))
        assert writer.get_extra_info("peername")[0] == "127.0.0.1"
        writer.transport.abort()


async def test_nobody_there() -> None:
    """It must be that what cannot be reached is said, with host and port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(OutboundFailed, match=rf"127.0.0.1:{port} cannot be reached") as fault:
        await Connector(LOOPBACK, Resolver()).open(Place("127.0.0.1", port))
    assert fault.value.reason is Reason.UNREACHABLE


async def test_no_answer_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """It must be that an address that is silent is given up on, and all of it too."""

    async def silent(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.SelectorEventLoop, "sock_connect", silent)
    connector = Connector(LOOPBACK, resolving(["127.0.0.1"] * 3))
    with pytest.raises(OutboundFailed, match="did not answer in time") as fault:
        await connector.open(Place("a.lan", 80), deadline_seconds=0.05)
    assert fault.value.reason is Reason.TOO_SLOW
    monkeypatch.setattr(connecting, "ATTEMPT_SECONDS", 0.01)
    with pytest.raises(OutboundFailed, match="no answer in time"):
        await connector.open(Place("a.lan", 80))


async def test_tls(tmp_path: Path) -> None:
    """It must be that a certificate is verified, for the name that was asked for."""
    context, authority = certificates(tmp_path, "good.example", "127.0.0.1")
    connector = Connector(LOOPBACK, resolving(["127.0.0.1"]))
    async with serving(saying(b"hello"), context) as port:
        for host in ("good.example", "127.0.0.1"):
            _, writer = await connector.open(Place(host, port), trusting(authority))
            assert writer.get_extra_info("ssl_object") is not None
            writer.transport.abort()
        for host, tls in (("other.example", trusting(authority)), ("good.example", trusting())):
            with pytest.raises(OutboundFailed, match=f"certificate of {host} is refused") as fault:
                await connector.open(Place(host, port), tls)
            assert fault.value.reason is Reason.TLS
    expired, authority = certificates(tmp_path, "good.example", days=-1)
    async with serving(saying(b""), expired) as port:
        with pytest.raises(OutboundFailed, match="expired"):
            await connector.open(Place("good.example", port), trusting(authority))

    async def plain(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with serving(plain) as port:
        with pytest.raises(OutboundFailed, match=r"no TLS with good\.example"):
            await connector.open(Place("good.example", port), trusting())
