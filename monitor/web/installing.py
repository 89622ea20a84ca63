"""``/install.sh``, the wheel that it names and ``/ca.pem``: the server hands out its own agent.

None of them needs a login, because a host that is to be enrolled has none; none of them holds a
secret.  The script that a host gets speaks of the address by which the host asked, which works
for it; the checksum of the wheel stands in the script, so that whoever trusts the script trusts
all of it.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import structlog
from quart import Response, request

import monitor
from monitor.core.access import Policy
from monitor.errors import MonitorError, NotFound, Unavailable
from monitor.web import bundle
from monitor.web.asgi import Scope
from monitor.web.assets import folder
from monitor.web.edge import is_loopback
from monitor.web.routes import Route
from monitor.web.services import Services
from monitor.web.trust import Trust

SCRIPT, UNIT = "agent-install.sh", "awoooi-monitor-agent.service"
"""Files of the folder ``deploy``."""

_URL = re.compile(r"https?://[A-Za-z0-9.:_\[\]-]{1,300}", re.ASCII)
"""What may stand between the quotes of a shell; the door lets no other Host through anyway."""


class Installing:
    """The handlers; the application registers `routes`."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._making = asyncio.Lock()
        self._made: bundle.Bundle | None = None
        self.routes = (
            Route("/install.sh", "install_script", self.script, Policy.PUBLIC),
            Route("/ca.pem", "authority", self.authority, Policy.PUBLIC),
            Route(f"/{bundle.NAME}", "agent_wheel", self.wheel, Policy.PUBLIC),
        )

    async def script(self) -> Response:
        """The installer of the agent, for the address that was asked."""
        url = request.host_url.rstrip("/")
        if _URL.fullmatch(url) is None:
            raise NotFound("there is no installer for this address")
        made = await self._bundle()
        trust = await self.seen()
        private = trust if trust is not None and trust.is_private else None
        text = await asyncio.to_thread(script, url, private, made.sha256)
        return _file(text.encode(), "text/x-shellscript; charset=utf-8")

    async def wheel(self) -> Response:
        """The agent itself."""
        made = await self._bundle()
        return _file(made.content, "application/zip")

    async def authority(self) -> Response:
        """The certificate at the top of the chain that this server shows."""
        trust = await self._trust()
        if trust is None:
            raise NotFound("this server speaks no TLS of its own")
        return _file(trust.authority, "application/x-pem-file")

    async def place(self) -> tuple[str, Trust | None]:
        """Where other hosts find this server, and by what they are to know it.

        Whoever asks by a name of loopback's is told the public address, if there is one.
        """
        url = request.host_url.rstrip("/")
        public = self._services.public_url
        if public and is_loopback(urlsplit(url).hostname or ""):
            url = public
        return url, await self.seen() if url.startswith("https:") else None

    async def seen(self) -> Trust | None:
        """By what whoever asks knows us; none where a proxy speaks TLS, or nobody does."""
        scope = cast("Scope", request.scope)
        if scope.get("monitor.peer") != scope.get("client"):
            return None
        return await self._trust()

    async def _trust(self) -> Trust | None:
        try:
            return await asyncio.to_thread(self._services.trust)
        except (OSError, ValueError) as error:
            _complain("the certificate cannot be shown", str(error))
            raise Unavailable("the certificate cannot be read now; the log says why") from None

    async def _bundle(self) -> bundle.Bundle:
        """The wheel, made when it is first asked for."""
        async with self._making:
            if self._made is None:
                try:
                    self._made = await asyncio.to_thread(bundle.bundle)
                except (OSError, MonitorError) as error:
                    _complain("the agent's wheel cannot be made", str(error))
                    detail = "this installation cannot make its agent's wheel; the log says why"
                    raise Unavailable(detail) from None
            return self._made


def script(url: str, private: Trust | None, sha256: str) -> str:
    """The installer for a server at `url`; `private` is what to pin where no system knows it.

    Raises `StartError` where the installation is not whole.
    """
    place = folder("deploy")
    values = {
        "SERVER": url,
        "PIN": private.pin if private is not None else "",
        "KEY": private.key_pin if private is not None else "",
        "VERSION": monitor.__version__,
        "WHEEL": bundle.NAME,
        "SHA256": sha256,
        "UNIT": (place / UNIT).read_text().rstrip("\n"),
    }
    return filled(place / SCRIPT, values)


def filled(template: Path, values: dict[str, str]) -> str:
    """A text with its ``@NAME@`` replaced, all at once."""
    names = "|".join(values)
    return re.sub(f"@({names})@", lambda found: values[found[1]], template.read_text())


def _file(content: bytes, content_type: str) -> Response:
    etag = f'"{hashlib.sha256(content).hexdigest()[:20]}"'
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    if request.headers.get("If-None-Match") == etag:
        return Response(b"", status=304, headers=headers)
    return Response(content, headers=headers, content_type=content_type)


def _complain(what: str, why: str) -> None:
    structlog.stdlib.get_logger("monitor.web").error(what, reason=why)
