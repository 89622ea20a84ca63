"""What a request for history wants: its query string, judged once and then frozen.

It knows the parameters and their bounds; whether a host or a metric exists is for `history`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from monitor.core.aggregate import Aggregate
from monitor.core.selectors import Selector
from monitor.errors import InputError
from monitor.web.openapi import Parameter
from monitor.web.query import Query, Values

MOST_POINTS = 11_000
"""Buckets of one answer."""

DEFAULT_POINTS = 300
DEFAULT_RANGE_SECONDS = 3_600.0

MOST_NAMED = 100
"""Hosts, and metrics, that one query may name."""

FORMATS = ("json", "csv")

LONGEST_FILE_NAME_PART = 64
"""Of a host's name in a download's."""

_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}", re.ASCII)
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]", re.ASCII)

RANGE = (
    Parameter("start", "The first instant; an hour before the end where absent."),
    Parameter("end", "The instant after the last; now where absent."),
)
PARAMETERS = (
    Parameter("metric", "A name, for all its series, or a KEY.", required=True, repeated=True),
    Parameter("host", "A host's name; this or match is required.", repeated=True),
    Parameter("match", "A selector of hosts, such as role=web, env!=dev, host=web-*."),
    Parameter("aggregate", "One series of all hosts for each KEY: avg, max, min, sum or p95."),
    Parameter("by", "With aggregate: one series for each value of this label of the hosts."),
    *RANGE,
    Parameter("points", "The most buckets wanted, up to 11,000; 300.", schema="integer"),
    Parameter("raw", "1 for counts instead of rates.", schema="integer"),
    Parameter("format", "How it is written.", choices=FORMATS),
    Parameter("download", "1 for a file to keep; CSV is one anyway.", schema="integer"),
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A range of series: of the hosts named that match, where neither leaves all out."""

    hosts: list[str]
    match: Selector | None
    metrics: list[str]
    aggregate: Aggregate | None
    by: str | None
    start: float
    end: float
    points: int
    raw: bool
    format: str
    download: bool


def judged(values: Values, now: float) -> Asked:
    """A query string, judged at `now`.  Raises `InputError` with the parameter at fault."""
    names = [parameter.name for parameter in PARAMETERS if not parameter.repeated]
    repeated = [parameter.name for parameter in PARAMETERS if parameter.repeated]
    query = Query(values, names, repeated)
    start, end = query.span(now, DEFAULT_RANGE_SECONDS)
    hosts, metrics = query.texts("host"), query.texts("metric")
    match, aggregate, by = query.text("match"), query.text("aggregate"), query.text("by")
    if not hosts and match is None:
        detail = "name hosts with the parameter host, or choose some with match"
        raise InputError(detail, code="missing_param", field="host")
    if not metrics:
        raise InputError("name one metric or more", code="missing_param", field="metric")
    for name, given in (("host", hosts), ("metric", metrics)):
        if len(given) > MOST_NAMED:
            detail = f"name at most {MOST_NAMED} of the parameter {name}"
            raise InputError(detail, code="too_many_params", field=name, limit=MOST_NAMED)
    if by is not None and aggregate is None:
        raise InputError("by groups what aggregate makes", code="missing_param", field="aggregate")
    if by is not None and not _LABEL.fullmatch(by):
        raise InputError("by is the name of one label", code="bad_param", field="by")
    return Asked(
        hosts,
        None if match is None else _selector(match),
        metrics,
        None if aggregate is None else Aggregate.parse(aggregate),
        by,
        start,
        end,
        query.whole("points", DEFAULT_POINTS, MOST_POINTS),
        query.flag("raw"),
        query.choice("format", FORMATS),
        query.flag("download"),
    )


def _selector(text: str) -> Selector:
    """A selector of hosts; they have neither a rule nor a severity."""
    found = Selector.parse(text)
    foreign = found.names & {"rule", "severity"}
    if foreign:
        detail = f"a host has no {min(foreign)}: select by host and by labels of hosts"
        raise InputError(detail, code="bad_selector", field="match")
    return found


def file_name(asked: Asked) -> str:
    """What a download is called, of safe signs only; empty where it is none."""
    if asked.format == "json" and not asked.download:
        return ""
    whose = (
        [_UNSAFE.sub("_", asked.hosts[0])[:LONGEST_FILE_NAME_PART]] if len(asked.hosts) == 1 else []
    )
    instants = (
        f"{datetime.fromtimestamp(at, UTC):%Y%m%dT%H%M%SZ}" for at in (asked.start, asked.end)
    )
    return "-".join(["history", *whose, *instants]) + f".{asked.format}"
