"""``/api/v1/silences``: listing, making and ending them, and seeing what one would take.

Whoever sees every host may silence whatever a selector takes.  Others may silence what their
hosts say, and so their selectors name hosts, all of them within their own globs; they see those
silences and no others.
"""

from __future__ import annotations

import math

import msgspec
from quart import Response, request

from monitor.core.access import Policy
from monitor.core.quantity import parse_seconds
from monitor.core.selectors import Selector
from monitor.errors import InputError
from monitor.notify.schedules import Schedule, parse_until
from monitor.notify.silence import Silence
from monitor.notify.silences import Wish
from monitor.web.alertanswers import (
    Instant,
    ListedAlert,
    PreviewWish,
    SilenceShown,
    SilenceWish,
)
from monitor.web.alertsapi import DEFAULT_LISTED, TOTAL, Listing, actor
from monitor.web.jsonbody import body
from monitor.web.openapi import Operation, Parameter
from monitor.web.query import Query
from monitor.web.routes import asking
from monitor.web.services import Services

EXAMPLE = '{"match": "host=web-1", "for": "1h", "comment": "…"}, or with until or schedule'

_encoder = msgspec.json.Encoder()


class SilencesApi:
    """The handlers, and their rows of the table of operations."""

    def __init__(self, services: Services) -> None:
        self._services = services
        made = (400, 403, 408, 409, 413, 415, 503)
        self.operations = (
            Operation(
                "GET",
                "/api/v1/silences",
                "silences",
                "Every silence: the configuration's, and those that people made, the latest first",
                self.silences,
                list[SilenceShown],
                problems=(400, 503),
                policy=Policy.READ,
            ),
            Operation(
                "POST",
                "/api/v1/silences",
                "create_silence",
                "Tell nobody of what a selector takes, for a while or on a schedule",
                self.create,
                SilenceShown,
                problems=made,
                body=(SilenceWish,),
                status=201,
                policy=Policy.OPERATE,
            ),
            Operation(
                "POST",
                "/api/v1/silences/preview",
                "preview_silence",
                "Which alerts, of those that fire and those that pend, a selector takes now",
                self.preview,
                list[ListedAlert],
                problems=(400, 408, 413, 415, 503),
                body=(PreviewWish,),
                policy=Policy.OPERATE,
            ),
            Operation(
                "DELETE",
                # No id is as short as the word that stands in the same place above.
                "/api/v1/silences/<string(minlength=8):silence>",
                "end_silence",
                "End a silence now; it is listed for a week more",
                self.end,
                SilenceShown,
                (Parameter("silence", "A silence's id.", place="path"),),
                (400, 404, 409, 503),
                policy=Policy.OPERATE,
            ),
        )

    async def silences(self) -> Response:
        """Those that may be seen."""
        Query(request.args, ())
        found = self._services.objects.silences(asking(), self._services.require_notify().silences)
        now = self._services.clock()
        return _answer([shown(each, now) for each in found])

    async def create(self) -> Response:
        """Make one."""
        Query(request.args, ())
        silences = self._services.require_notify().silences
        wish = wanted(await body(SilenceWish, EXAMPLE), self._services.clock())
        self._services.objects.require_silenceable(asking(), wish.match)
        made = await silences.create(actor(), wish)
        return _answer(shown(made, self._services.clock()), 201)

    async def preview(self) -> Response:
        """What one would take."""
        Query(request.args, ())
        wish = await body(PreviewWish, '{"match": "host=web-1"}')
        listing = Listing(self._services)
        taken = listing.taken(Selector.parse(wish.match))
        answer = _answer([listing.shown(each) for each in taken[:DEFAULT_LISTED]])
        answer.headers[TOTAL] = str(len(taken))
        return answer

    async def end(self, silence: str) -> Response:
        """End one."""
        Query(request.args, ())
        silences = self._services.require_notify().silences
        found = self._services.objects.silence(asking(), silences, silence)
        ended = await silences.delete(actor(), found.id)
        return _answer(shown(ended, self._services.clock()))


def shown(silence: Silence, now: float) -> SilenceShown:
    """A silence as it is listed."""
    change = silence.next_change(now)
    return SilenceShown(
        id=silence.id,
        match=silence.match.text,
        state=silence.state(now),
        starts=silence.starts if math.isfinite(silence.starts) else None,
        until=silence.until,
        schedule=silence.schedule.text if silence.schedule else None,
        next_change=change if math.isfinite(change) else None,
        comment=silence.comment,
        by=silence.by,
        created=silence.created or None,
        ended_by=silence.ended_by or None,
        configured=silence.is_configured,
        origin=silence.origin or None,
    )


def wanted(wish: SilenceWish, now: float) -> Wish:
    """What a wish means at an instant.  Raises `InputError`, naming the field."""
    if wish.until is not None and wish.duration is not None:
        raise InputError("say until or for, one of the two", code="bad_until", field="for")
    until = _instant(wish.until, "until")
    if wish.duration is not None:
        until = now + _seconds(wish.duration)
    return Wish(
        match=Selector.parse(wish.match),
        until=until,
        schedule=_schedule(wish.schedule) if wish.schedule is not None else None,
        comment=wish.comment,
        starts=_instant(wish.starts, "starts"),
    )


def _instant(value: Instant | None, field: str) -> float | None:
    if not isinstance(value, str):
        return value
    try:
        return parse_until(value)
    except ValueError as error:
        raise InputError(str(error), code="bad_until", field=field) from None


def _seconds(text: str) -> float:
    try:
        return parse_seconds(text)
    except ValueError as error:
        raise InputError(str(error), code="bad_until", field="for") from None


def _schedule(text: str) -> Schedule:
    try:
        return Schedule.parse(text)
    except ValueError as error:
        raise InputError(str(error), code="bad_schedule", field="schedule") from None


def _answer(value: object, status: int = 200) -> Response:
    return Response(_encoder.encode(value), status=status, content_type="application/json")
