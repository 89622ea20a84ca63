"""What is done with a host: retiring, accepting another machine under its name, deleting.

Each is done by the fleet and written into the audit trail; the API answers JSON, a page's form
leads back to a page.
"""

from __future__ import annotations

from collections.abc import Awaitable
from urllib.parse import quote

import msgspec
from quart import Response, request

from monitor.access.audit import Actor
from monitor.core.access import Policy
from monitor.errors import MonitorError
from monitor.web.answers import HostAction
from monitor.web.forms import sent
from monitor.web.login import onwards
from monitor.web.query import Query
from monitor.web.routes import Route, address, asking
from monitor.web.services import Services


class HostActions:
    """The handlers; the application registers `routes`, and the API its own operations."""

    def __init__(self, services: Services) -> None:
        self._services = services
        post = ("POST",)
        self.routes = (
            Route("/hosts/<name>/retire", "retire_on_page", self.retired, Policy.OPERATE, post),
            Route("/hosts/<name>/adopt", "adopt_on_page", self.adopted, Policy.ADMIN, post),
            Route("/hosts/<name>/delete", "delete_on_page", self.deleted, Policy.ADMIN, post),
        )

    # The API

    async def retire(self, host: str) -> Response:
        """Retire a host until it sends again."""
        Query(request.args, ())
        return _said(await self._retire(host))

    async def adopt(self, host: str) -> Response:
        """Accept the machine that was turned away under a host's name."""
        Query(request.args, ())
        return _said(await self._adopt(host))

    async def delete(self, host: str) -> Response:
        """Forget a host and all of its history."""
        Query(request.args, ())
        return _said(await self._delete(host))

    # The pages

    async def retired(self, name: str) -> Response:
        """The same from a form; back to the host."""
        await sent()
        done = await self._retire(name)
        return onwards(f"/hosts/{quote(done.host)}")

    async def adopted(self, name: str) -> Response:
        """The same from a form; back to the host."""
        await sent()
        done = await self._adopt(name)
        return onwards(f"/hosts/{quote(done.host)}")

    async def deleted(self, name: str) -> Response:
        """The same from a form; back to the fleet, where it no longer is."""
        await sent()
        await self._delete(name)
        return onwards("/")

    # Both

    async def _retire(self, name: str) -> HostAction:
        host = self._services.objects.host(asking(), name).name
        work = self._services.fleet.retire(host, asking().said)
        return await self._done(host, "retire", work)

    async def _adopt(self, name: str) -> HostAction:
        host = self._services.objects.host(asking(), name).name
        return await self._done(host, "adopt", self._services.fleet.adopt(host))

    async def _delete(self, name: str) -> HostAction:
        host = self._services.objects.host(asking(), name).name
        return await self._done(host, "delete", self._services.fleet.delete(host))

    async def _done(self, host: str, verb: str, work: Awaitable[None]) -> HostAction:
        audit, actor = self._services.door.office.audit, Actor(asking().said, address())
        try:
            await work
        except MonitorError as error:
            await audit.record(actor, f"host.{verb}", host, "refused", code=error.code)
            raise
        await audit.record(actor, f"host.{verb}", host)
        return HostAction(host, verb)


def _said(done: HostAction) -> Response:
    return Response(msgspec.json.encode(done), content_type="application/json")
