"""Where an alert is told: it must be that the first route decides, and that somebody hears."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.notify.config import RouteConfig
from monitor.notify.routing import Routing
from tests.notify.alerts import said
from tests.notify.stage import route

CHANNELS = ("phone", "mail", "chat")
ALL = set(CHANNELS)
FAILING: dict[str, Any] = {
    "rule": "channel_failing",
    "host": "hub",
    "metric": 'monitor.channel.failing{channel="phone"}',
    "attributes": {"channel": "phone"},
}


@pytest.mark.parametrize(
    ("routes", "alert", "expected"),
    [
        pytest.param((), {}, ALL, id="without-routes-everybody"),
        pytest.param((), {"severity": "info"}, None, id="info-nobody"),
        pytest.param((route("", "mail"),), {}, {"mail"}, id="one-for-all"),
        pytest.param((route("env=dev", "mail"),), {}, None, id="none-that-takes-it"),
        pytest.param(
            (route("severity=critical", "phone"), route("", "mail", "chat")),
            {},
            {"mail", "chat"},
            id="second",
        ),
        pytest.param(
            (route("env=prod", "phone"), route("", "mail")), {}, {"phone"}, id="first-wins"
        ),
        pytest.param((route("mountpoint=/v*", "phone"),), {}, {"phone"}, id="by-attribute"),
        pytest.param((route("rule=disk_*,host=web-*", "phone"),), {}, {"phone"}, id="by-rule"),
        pytest.param((route("", "gone", "mail"),), {}, {"mail"}, id="a-channel-that-is-not-there"),
        pytest.param((), FAILING, {"mail", "chat"}, id="failing-goes-to-others"),
        pytest.param(
            (route("", "phone", "mail"),), FAILING, {"mail"}, id="failing-others-of-its-route"
        ),
        pytest.param((route("", "phone"),), FAILING, {"mail", "chat"}, id="failing-alone"),
        pytest.param(
            (route("env=dev", "phone"),), FAILING, {"mail", "chat"}, id="failing-unrouted"
        ),
    ],
)
def test_the_first_route_that_takes_an_alert_decides(
    routes: tuple[RouteConfig, ...], alert: dict[str, Any], expected: set[str] | None
) -> None:
    assigned = Routing(routes, CHANNELS).assign(said(**alert))
    assert (None if assigned is None else assigned.channels) == expected


def test_the_only_channel_is_not_told_that_it_fails() -> None:
    assigned = Routing((), ("phone",)).assign(said(**FAILING))
    assert assigned is not None
    assert not assigned.channels


def test_groups_share_labels_and_drills_have_their_own() -> None:
    routing = Routing((route("", "phone", group_by=("env", "host", "nothing")),), CHANNELS)
    first = routing.assign(said("a1", rule="one"))
    second = routing.assign(said("a2", rule="two"))
    drill = routing.assign(said("a3", is_drill=True))
    other = routing.assign(said("a4", labels={"env": "dev"}))
    assert first is not None
    assert second is not None
    assert drill is not None
    assert other is not None
    assert first.labels == {"env": "prod", "host": "web-1", "nothing": ""}
    assert first.group == second.group
    assert len({first.group, drill.group, other.group}) == 3
