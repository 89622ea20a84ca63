"""Tokens as forms ask for them and as pages show them: a wish in words, and what to do with it.

It reads fields and makes words; whether a wish may be is judged where tokens are made.
"""

from __future__ import annotations

from dataclasses import dataclass

from monitor.access.records import Token
from monitor.access.tokens import Wish
from monitor.core.access import ALL_HOSTS, TokenKind
from monitor.core.quantity import parse_seconds
from monitor.errors import InputError
from monitor.ingest.names import labels as require_labels
from monitor.web import pasting
from monitor.web.query import Query
from monitor.web.trust import Trust

FIELDS = ("kind", "host", "hosts", "scope", "uses", "expires", "labels", "note")

_ENROLS = frozenset({TokenKind.AGENT, TokenKind.ENROLL})

LONGEST_SECONDS = 100 * 365 * 86_400.0
"""Who wants more leaves the field empty, which is for ever."""


@dataclass(frozen=True, slots=True)
class Handed:
    """A token that was just made: shown once, with the line to paste."""

    text: str
    id: str
    what: str
    line: str


def wish(fields: Query, now: float) -> Wish:
    """What a form asks for.  Raises `InputError`, naming the field."""
    kind = _kind(fields.text("kind"))
    is_agent = kind is TokenKind.AGENT
    hosts = words(fields.text("host" if is_agent else "hosts"))
    labelled = kind in {TokenKind.AGENT, TokenKind.ENROLL}
    return Wish(
        kind,
        hosts or (() if is_agent else ALL_HOSTS),
        words(fields.text("scope")) if kind is TokenKind.API else (),
        require_labels(pairs(fields.text("labels"))) if labelled else {},
        _until(fields.text("expires"), now),
        _uses(fields.text("uses")) if kind is TokenKind.ENROLL else None,
        (fields.text("note") or "").strip(),
    )


def words(text: str | None) -> tuple[str, ...]:
    """What stands between commas or spaces."""
    return tuple((text or "").replace(",", " ").split())


def pairs(text: str | None) -> dict[str, str]:
    """``name=value`` after commas.  Raises `InputError`."""
    found: dict[str, str] = {}
    for each in (text or "").split(","):
        name, equals, value = (part.strip() for part in each.partition("="))
        if not name and not equals:
            continue
        if not equals or name in found:
            detail = "labels are written name=value, with commas between, each name once"
            raise InputError(detail, code="bad_labels", field="labels")
        found[name] = value
    return found


def handed(text: str, made: Token, url: str, trust: Trust | None = None) -> Handed:
    """A token's text, what it is for, and the line that uses it.

    `url` is the server's, and `trust` what is known by that of its certificate.
    """
    hosts = "every host" if made.hosts == ALL_HOSTS else ", ".join(made.hosts)
    agent = pasting.enrolment(url, trust, made, text) if made.kind in _ENROLS else ""
    match made.kind:
        case TokenKind.AGENT:
            what, line = f"for the agent of {hosts}", agent
        case TokenKind.ENROLL:
            times = "once" if made.uses == 1 else f"{made.uses or 'any number of'} times"
            what, line = f"exchanged {times} for a token of {hosts}", agent
        case TokenKind.INGEST:
            what = f"writes {hosts}"
            line = (
                f"remote_write: [{{url: {url}/api/v1/write,"
                " authorization: {credentials_file: FILE}}]"
            )
        case TokenKind.API:
            path = "/metrics" if made.scopes == ("metrics",) else "/api/v1/hosts"
            what = f"for {', '.join(made.scopes)}, on {hosts}"
            line = f'curl -H "Authorization: Bearer $(cat FILE)" {url}{path}'
    return Handed(text, made.id, what, line)


def _kind(text: str | None) -> TokenKind:
    try:
        return TokenKind(text)
    except ValueError:
        detail = f"a token is one of {', '.join(kind.value for kind in TokenKind)}"
        raise InputError(detail, code="bad_param", field="kind") from None


def _until(text: str | None, now: float) -> float | None:
    if not text or not text.strip():
        return None
    try:
        seconds = parse_seconds(text.strip())
    except ValueError as error:
        raise InputError(f"expires: {error}", code="bad_time", field="expires") from None
    if not 0 < seconds <= LONGEST_SECONDS:
        detail = "a token expires after a time such as 30d, or never: leave it empty"
        raise InputError(detail, code="bad_time", field="expires")
    return now + seconds


def _uses(text: str | None) -> int:
    if not (text or "").isascii() or not (text or "").isdigit() or len(text or "") > 9:
        raise InputError("uses is a whole number", code="bad_uses", field="uses")
    return int(text or "")
