"""``/silences``: of which alerts nobody is told; making one, ending one, what one would take."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from quart import Response, request

from monitor.access.audit import Actor
from monitor.core.access import Policy
from monitor.core.selectors import Selector
from monitor.errors import InputError, MonitorError
from monitor.web import silenceview
from monitor.web.alertanswers import SilenceWish
from monitor.web.alertstanding import gather
from monitor.web.forms import sent
from monitor.web.login import onwards
from monitor.web.printing import Printer, wants_page
from monitor.web.query import Query
from monitor.web.routes import Route, address, asking
from monitor.web.services import Services
from monitor.web.silencesapi import wanted

FIELDS = ("match", "for", "until", "schedule", "comment")
"""What the form has."""

DONE = {"made": "Silenced.", "ended": "Ended: it is told again."}
"""What the page says after a form."""


class SilencesPages:
    """The handlers; the application registers `routes`."""

    def __init__(self, services: Services, printer: Printer) -> None:
        self._services = services
        self._printer = printer
        post = ("POST",)
        self.routes = (
            Route("/silences", "page_silences", self.show, Policy.READ),
            Route("/silences", "create_silence_on_page", self.create, Policy.OPERATE, post),
            Route("/silences/preview", "preview_on_page", self.preview, Policy.OPERATE, post),
            Route("/silences/<id_>/end", "end_silence_on_page", self.end, Policy.OPERATE, post),
        )

    async def show(self) -> Response:
        """All of them, and what one would take that is being thought of."""
        query = Query(request.args, (*FIELDS, "done"))
        values = {name: query.text(name) or "" for name in FIELDS}
        return await self._page(values, done=DONE.get(query.text("done") or "", ""))

    async def preview(self) -> Response:
        """What one would take, with all that was written about it."""
        fields = await sent(*FIELDS)
        return await self._page({name: (fields.text(name) or "").strip() for name in FIELDS})

    async def create(self) -> Response:
        """Make one."""
        fields = await sent(*FIELDS)
        values = {name: (fields.text(name) or "").strip() for name in FIELDS}
        services = self._services
        try:
            wish = SilenceWish(
                match=values["match"],
                until=values["until"] or None,
                duration=values["for"] or None,
                schedule=values["schedule"] or None,
                comment=values["comment"],
            )
            made = wanted(wish, services.clock())
            services.objects.require_silenceable(asking(), made.match)
            await services.require_notify().silences.create(_actor(), made)
        except MonitorError as error:
            if error.status >= 500 or not wants_page():
                raise
            return await self._page(values, error)
        self._printer.alarms.forget()
        return onwards("/silences?done=made")

    async def end(self, id_: str) -> Response:
        """End one."""
        await sent()
        silences = self._services.require_notify().silences
        found = self._services.objects.silence(asking(), silences, id_)
        await silences.delete(_actor(), found.id)
        self._printer.alarms.forget()
        return onwards("/silences?done=ended")

    async def _page(
        self, values: Mapping[str, str], error: MonitorError | None = None, done: str = ""
    ) -> Response:
        services, caller = self._services, asking()
        notify = services.require_notify()
        gathered = gather(services, caller.view)
        trouble, taken = ("", ""), None
        if error is not None:
            trouble = error.detail, getattr(error, "field", None) or ""
        elif values["match"]:
            try:
                match = Selector.parse(values["match"])
                taken = await asyncio.to_thread(silenceview.preview, match, gathered)
            except InputError as fault:
                error, trouble = fault, (fault.detail, "match")
        listed = services.objects.silences(caller, notify.silences)
        page = await asyncio.to_thread(
            silenceview.silences_page, listed, gathered, values, taken, trouble, done
        )
        return self._printer.page(
            "silences.html",
            200 if error is None else error.status,
            view=page,
            nobody={"operates": False},
        )


def _actor() -> Actor:
    return Actor(asking().said, address())
