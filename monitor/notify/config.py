"""What ``[channels.NAME]``, ``[[routes]]``, ``[[silences]]`` and ``[heartbeat]`` may say.

Who is told, by which way, and when nobody is.  What an address means is for the channels to say
(`monitor.notify.channels`), what a schedule means for `monitor.notify.schedules`; whether a route's
channel exists is asked where both are known, at the roof.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Annotated

from monitor.core.quantity import Between, Check, Reads, Seconds, shown
from monitor.core.secret import INLINE, Secret
from monitor.core.selectors import LONGEST_NAME_CHARACTERS, Selector
from monitor.errors import InputError
from monitor.notify.schedules import Schedule, parse_until

MOST_ROUTES = 256
"""Each is asked of every alert that fires."""

MOST_SILENCES = 256
"""Of files; those that people make have a bound of their own."""

MOST_CHANNELS_OF_A_ROUTE = 32
MOST_GROUPED_BY = 8

COMMENT_CHARACTERS = 500
"""What a silence says of itself."""

DEFAULT_GROUP_BY = ("rule",)
DEFAULT_GROUP_WAIT_SECONDS = 1.0
DEFAULT_REPEAT_SECONDS = 4 * 3600.0


def selector(value: object) -> Selector:
    """The selector that a text writes.  Raises `ValueError` where it is none."""
    if not isinstance(value, str):
        raise ValueError(f'expected a selector such as "env=prod", got {shown(value)}')  # noqa: TRY004  # the roof gathers these
    try:
        return Selector.parse(value)
    except InputError as error:
        raise ValueError(error.detail) from None


def few_channels(value: tuple[str, ...]) -> tuple[str, ...]:
    """Names of channels as they are.  Raises `ValueError` where they are too many, or twice."""
    if len(value) > MOST_CHANNELS_OF_A_ROUTE:
        raise ValueError(f"expected at most {MOST_CHANNELS_OF_A_ROUTE} channels, got {len(value)}")
    return _each_once(value)


def grouping(value: tuple[str, ...]) -> tuple[str, ...]:
    """Names of labels as they are.  Raises `ValueError` where they are too many, or none."""
    if len(value) > MOST_GROUPED_BY:
        raise ValueError(f"expected at most {MOST_GROUPED_BY} labels, got {len(value)}")
    for name in value:
        if not name or len(name) > LONGEST_NAME_CHARACTERS or not name.isprintable():
            raise ValueError(f"expected a label's name, got {shown(name)}")
    return _each_once(value)


def instant(value: object) -> str:
    """An instant as text, or none: what was written in quotes, or as a date of TOML's own.

    Raises `ValueError` where it is none.
    """
    if not isinstance(value, (str, datetime, date)):
        raise ValueError(f'expected an instant such as "2030-01-31T08:00Z", got {shown(value)}')  # noqa: TRY004  # the roof gathers these
    written = value if isinstance(value, str) else value.isoformat()
    if written:
        parse_until(written)
    return written


def schedule(value: str) -> str:
    """A schedule as it is, or none.  Raises `ValueError` where it is none."""
    if value:
        Schedule.parse(value)
    return value


def comment(value: str) -> str:
    """A comment as it is.  Raises `ValueError` where it is too long or unprintable."""
    if len(value) > COMMENT_CHARACTERS:
        raise ValueError(f"expected at most {COMMENT_CHARACTERS} characters, got {len(value)}")
    if not value.isprintable():
        raise ValueError(f"expected printable text, got {shown(value)}")
    return value


def _each_once(value: tuple[str, ...]) -> tuple[str, ...]:
    twice = next((name for number, name in enumerate(value) if name in value[:number]), None)
    if twice is not None:
        raise ValueError(f"{shown(twice)} stands here twice")
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelConfig:
    """One table of channels: a receiver.

    The whole address is a secret, because most services put their key into it; it may stand in
    the file itself all the same, as an address has to stand somewhere.
    """

    url: Annotated[Secret | None, INLINE] = None
    """``http(s)://`` is our webhook; ``mailto://``, ``alertmanager://``, else a service's."""
    secret: Secret | None = None
    """What a webhook's messages are signed with."""
    tls_ca: Path | None = None
    """Authorities that its certificate is verified with, beside the system's."""

    def faults(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """What does not go together, by the keys that say it."""
        if self.url is None:
            yield ("url", "url_file", "secret_file"), "url or url_file is missing: where to?"


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteConfig:
    """One route: of the alerts that no earlier one took, which go where, and how often."""

    match: Annotated[Selector | None, Reads(selector)] = None
    """Labels, attributes, ``host``, ``rule`` and ``severity`` of the alert; without it, all."""
    channels: Annotated[tuple[str, ...], Check(few_channels)]
    """Their names; of an empty list nobody is told."""
    group_by: Annotated[tuple[str, ...], Check(grouping)] = DEFAULT_GROUP_BY
    """Alerts that agree in these are told together."""
    group_wait: Annotated[Seconds, Between(0.0, 3_600.0)] = DEFAULT_GROUP_WAIT_SECONDS
    """How long the first of a group waits for others."""
    repeat: Annotated[Seconds, Between(60.0, 30 * 86_400.0)] = DEFAULT_REPEAT_SECONDS
    """How often it is told again while it fires."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SilenceConfig:
    """One silence: of which alerts nobody is told, and when."""

    match: Annotated[Selector, Reads(selector)]
    """What it takes."""
    schedule: Annotated[str, Check(schedule)] = ""
    """When, again and again: ``Mon-Fri 20:00-06:00 Europe/Berlin``."""
    until: Annotated[str, Reads(instant)] = ""
    """Or until when, as ISO 8601."""
    comment: Annotated[str, Check(comment)] = ""

    def faults(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """What does not go together, by the keys that say it."""
        if bool(self.schedule) == bool(self.until):
            yield ("until", "schedule", "match"), "expected schedule or until, one of the two"


@dataclass(frozen=True, slots=True)
class HeartbeatConfig:
    """What ``[heartbeat]`` may say: whom to tell, again and again, that this server judges.

    Whoever is told raises the alarm when it is told no more.
    """

    url: Annotated[Secret | None, INLINE] = None
    interval: Annotated[Seconds, Between(10.0, 86_400.0)] = 60.0
