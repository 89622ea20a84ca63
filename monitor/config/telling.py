"""What asks two sections at once about who is told: routes that name channels, and gaps in them."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from monitor.config.files import Complaint, Document
from monitor.core.quantity import shown
from monitor.core.rules.model import Severity
from monitor.core.toml_lines import KeyPath
from monitor.errors import MonitorError

if TYPE_CHECKING:
    from monitor.config.settings import Settings
    from monitor.notify.config import ChannelConfig, HeartbeatConfig, RouteConfig

MOST_GUESSES = 100
"""For how many missing channels one of a similar name is sought."""


def check_routes(
    routes: Sequence[RouteConfig],
    channels: Sequence[str],
    document: Document,
    complaints: list[Complaint],
) -> None:
    """Complain of routes to channels that there are not, and of those that nothing reaches."""
    guessed = 0
    catching: KeyPath | None = None
    for number, route in enumerate(routes):
        path: KeyPath = ("routes", number)
        if catching is not None:
            before = document.origin(catching).short
            sentence = f"nothing comes here: the route in {before} takes every alert"
            complaints.append(Complaint(document.origin(path), path, sentence))
            break
        if route.match is None:
            catching = path
        for at, name in enumerate(route.channels):
            if name in channels:
                continue
            guessed += 1
            near = difflib.get_close_matches(name[:64], channels, n=1) * (guessed <= MOST_GUESSES)
            sentence = f"there is no channel {shown(name)}"
            if near:
                where = document.origin(("channels", near[0])).short
                sentence += f'; did you mean "{near[0]}", in {where}?'
            elif not channels:
                sentence += ", nor any other; make one: [channels.NAME] with url or url_file"
            here: KeyPath = (*path, "channels", at)
            complaints.append(Complaint(document.origin(here), here, sentence))


def check_addresses(
    values: Mapping[str, Any], document: Document, complaints: list[Complaint]
) -> None:
    """Complain of channels, and of a heartbeat, that may never lead where their address says."""
    channels: Mapping[str, ChannelConfig] = values["channels"]
    heartbeat: HeartbeatConfig = values["heartbeat"]
    if not channels and heartbeat.url is None:
        return
    # What makes channels brings TLS and, for some, a catalogue of services: only where there are
    # any, because a configuration without them is checked in half the time.
    from monitor.notify.channels.making import make  # noqa: PLC0415
    from monitor.outbound.guard import Guard  # noqa: PLC0415
    from monitor.outbound.resolving import Resolver  # noqa: PLC0415
    from monitor.outbound.targets import parse_url  # noqa: PLC0415

    guard, resolver = Guard(values["outbound"].networks), Resolver()

    def complain(path: KeyPath, key: str, error: MonitorError) -> None:
        known = (key, f"{key}_file")
        written = next((each for each in known if (*path, each) in document.origins), key)
        here = (*path, written)
        complaints.append(Complaint(document.origin(here), here, error.detail))

    for name, channel in channels.items():
        if channel.url is not None:
            try:
                make(name, channel, guard, resolver)
            except MonitorError as error:
                complain(("channels", name), error.field or "url", error)
    if heartbeat.url is not None:
        try:
            parse_url(heartbeat.url.reveal())
        except MonitorError as error:
            complain(("heartbeat",), "url", error)


def told(settings: Settings) -> Iterator[str]:
    """How many rules there are and who is told, a line each; above all, where nobody is."""
    rules = settings.rules
    if rules.shipped or rules.off:
        changed = sum(1 for name in rules.shipped if not rules.rules[name].is_default)
        off = f", {len(rules.off)} turned off" if rules.off else ""
        note = f"of which {len(rules.shipped)} shipped ({changed} of them changed){off}"
        yield f"{_count(len(rules), 'rule')}, {note}"
    else:
        yield f"{_count(len(rules), 'rule')}, none of them shipped"
    telling = sum(1 for rule in rules if rule.severity is not Severity.INFO)
    if not settings.channels:
        yield f"{_count(telling, 'rule')} can fire, nobody will be told: there is no channel"
        return
    if not settings.routes:
        names = ", ".join(settings.channels)
        yield f"every warning and critical goes to every channel: {names}"
        return
    for route in settings.routes:
        if not route.channels:
            yield f"nobody will be told of {_matched(route)}: its route has no channels"
    if settings.routes[-1].match is not None:
        yield "nobody will be told of alerts that no route matches: the last one has a match"
    used = {name for route in settings.routes for name in route.channels}
    for name in settings.channels:
        if name not in used:
            yield f"the channel {name} is told of nothing: no route names it"


def _matched(route: Any) -> str:
    return f"alerts of {shown(route.match.text)}" if route.match else "all other alerts"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
