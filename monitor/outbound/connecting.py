"""Connects to a place that may be connected to, and to no other.

A name is resolved once; each of its addresses is judged; one that passed is connected to; and
the other end's address is judged again as the socket tells it.  No second question to DNS
means that no second answer can lead elsewhere.  It speaks no protocol but TLS.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from pathlib import Path

from monitor.outbound.addresses import Address
from monitor.outbound.faults import OutboundFailed, OutboundRefused, Reason
from monitor.outbound.guard import Guard
from monitor.outbound.resolving import Resolver
from monitor.outbound.targets import Place

ATTEMPT_SECONDS = 3.0
"""How long one address may take to answer, so that the next one has its turn."""

DEADLINE_SECONDS = 10.0
"""How long all of it may take: the name, its addresses, TLS."""

BUFFER_BYTES = 1 << 16
"""How much of what the other end sends waits to be read."""


def trusting(authorities: Path | None = None) -> ssl.SSLContext:
    """What a certificate is verified with: the system's authorities, and those of a file.

    There is no way to verify nothing.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if authorities is not None:
        context.load_verify_locations(cafile=authorities)
    return context


class Connector:
    """Makes connections that `guard` allows."""

    def __init__(self, guard: Guard, resolver: Resolver) -> None:
        self.guard = guard
        self._resolver = resolver

    async def open(
        self,
        place: Place,
        tls: ssl.SSLContext | None = None,
        deadline_seconds: float = DEADLINE_SECONDS,
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to a place, with TLS where a context (of `trusting`) is given.

        Raises `OutboundRefused` where the place leads to what is not allowed, and
        `OutboundFailed` where it cannot be reached.
        """
        try:
            async with asyncio.timeout(deadline_seconds):
                connected = await self.connect(place)
                return await opened(connected, place.host, tls)
        except TimeoutError:
            raise too_slow(place) from None

    async def connect(self, place: Place) -> socket.socket:
        """A socket that is connected to a place.  Raises as `open` does; has no deadline."""
        literal = place.address
        found = (literal,) if literal is not None else await self._resolver.resolve(place.host)
        allowed: list[Address] = []
        refusal: OutboundRefused | None = None
        for address in found:
            try:
                self.guard.judge(place.host, place.port, address)
            except OutboundRefused as error:
                refusal = refusal or error
            else:
                allowed.append(address)
        if refusal is not None and not allowed:
            raise refusal
        why = "no address"
        for address in allowed:
            try:
                return await self._attempt(place, address)
            except TimeoutError:
                why = "no answer in time"
            except OSError as error:
                why = error.strerror or type(error).__name__
        raise OutboundFailed(Reason.UNREACHABLE, f"{place.written} cannot be reached: {why}")

    async def _attempt(self, place: Place, address: Address) -> socket.socket:
        family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
        connecting = socket.socket(family, socket.SOCK_STREAM)
        try:
            connecting.setblocking(False)
            connecting.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            async with asyncio.timeout(ATTEMPT_SECONDS):
                await asyncio.get_running_loop().sock_connect(
                    connecting, (str(address), place.port)
                )
            peer = ipaddress.ip_address(connecting.getpeername()[0].partition("%")[0])
            self.guard.judge(place.host, place.port, peer)
        except BaseException:
            connecting.close()
            raise
        return connecting


async def opened(
    connected: socket.socket, host: str, tls: ssl.SSLContext | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Streams over a connected socket, which they own from here on.  Raises `OutboundFailed`."""
    try:
        return await asyncio.open_connection(
            sock=connected,
            ssl=tls,
            server_hostname=host if tls is not None else None,
            limit=BUFFER_BYTES,
        )
    except ssl.SSLCertVerificationError as error:
        connected.close()
        said = error.verify_message or "it cannot be verified"
        raise OutboundFailed(Reason.TLS, f"the certificate of {host} is refused: {said}") from None
    except (ssl.SSLError, ConnectionError) as error:
        connected.close()
        said = getattr(error, "reason", None) or error.strerror or type(error).__name__
        raise OutboundFailed(Reason.TLS, f"no TLS with {host}: {said}") from None
    except BaseException:
        connected.close()
        raise


def too_slow(place: Place) -> OutboundFailed:
    """The fault of a place that did not answer in time."""
    return OutboundFailed(Reason.TOO_SLOW, f"{place.written} did not answer in time")
