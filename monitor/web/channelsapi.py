"""``/api/v1/channels``: how it stands with each, and a marked message through one.

What a channel is, and where it leads without its secrets, it says itself; a receiver's answer is
never shown as it came.
"""

from __future__ import annotations

import msgspec
from quart import Response, request

from monitor.core.access import Policy
from monitor.errors import MonitorError, NotFound
from monitor.notify.channel import ChannelStatus
from monitor.web.alertanswers import ChannelShown, ChannelTested
from monitor.web.alertsapi import actor
from monitor.web.openapi import Operation, Parameter
from monitor.web.query import Query
from monitor.web.routes import asking
from monitor.web.services import Services

_encoder = msgspec.json.Encoder()


class ChannelsApi:
    """The handlers, and their rows of the table of operations."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self.operations = (
            Operation(
                "GET",
                "/api/v1/channels",
                "channels",
                "How it stands with each channel",
                self.channels,
                list[ChannelShown],
                problems=(400, 503),
                policy=Policy.READ,
            ),
            Operation(
                "POST",
                "/api/v1/channels/<channel>/test",
                "test_channel",
                "Send a marked message through a channel",
                self.test,
                ChannelTested,
                (Parameter("channel", "A channel's name.", place="path"),),
                (400, 404, 503),
                policy=Policy.OPERATE,
            ),
        )

    async def channels(self) -> Response:
        """All of them, as they stand."""
        Query(request.args, ())
        return _answer([_shown(each) for each in self._services.require_notify().status()])

    async def test(self, channel: str) -> Response:
        """Try one: a few times a minute, whoever asks."""
        Query(request.args, ())
        notify = self._services.require_notify()
        if channel not in {each.name for each in notify.status()}:
            raise NotFound("there is no such channel", code="unknown_channel", field="channel")
        audit = self._services.door.office.audit
        try:
            outcome = await notify.test(channel, asking().said)
        except MonitorError as error:
            await audit.record(actor(), "channel.test", channel, "refused", code=error.code)
            raise
        await audit.record(actor(), "channel.test", channel)
        return _answer(ChannelTested(channel, outcome.result.value, outcome.reason))


def _shown(status: ChannelStatus) -> ChannelShown:
    return ChannelShown(
        name=status.name,
        kind=status.kind,
        target=status.target,
        delivered_at=status.delivered_at or None,
        failing_since=status.failing_since or None,
        failure=status.failure,
        waiting=status.waiting,
        delivered=status.delivered,
        given_up=status.given_up,
        next_try_at=status.next_try_at or None,
    )


def _answer(value: object) -> Response:
    return Response(_encoder.encode(value), content_type="application/json")
