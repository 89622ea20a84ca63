"""The newest values of the whole fleet as Prometheus text: one family a metric, one line a series.

It says of every host what pages show now.  What is absent, what is late and what hosts say that
are not up is left out, and lines bear no times: so a scraping Prometheus finds by itself that a
series has ended, and no host's wrong clock spoils it.  Counters are counts, as they were sent.

Writing is done in two steps.  Values are copied on the event loop, a few hosts at a time; they
become text and are compressed beside it.  What stands before and after a number is kept from one
scrape to the next as long as no host has other series.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from monitor.core.catalog import CATALOG, Kind
from monitor.core.prometheus_names import HOST_LABEL, catalog_name, exported, label_name
from monitor.core.series import Floats
from monitor.core.state import HostState
from monitor.model import HostStatus, Schema
from monitor.web import exposition
from monitor.web.exposition import Family, head, number, quoted

HOSTS_AT_ONCE = 64
"""Hosts whose values are copied before others may run: about 1 ms."""

LINES_AT_ONCE = 1_024
"""Lines made by one step beside the event loop; after each, others may have the interpreter."""

MOST_PLANS = 2
"""Plans kept: that of who scrapes everything, and one more; some 5 MB at 150,000 series."""

DEFLATE_LEVEL = 1
"""More makes a scrape of a large fleet several times as dear, and hardly smaller."""

NOT_DESCRIBED = "Not in the catalog: as it was received."
"""The help of what the catalog does not know."""

PARTS = ("_count", "_sum", "_bucket")
"""Endings that readers take for parts of a histogram; such a gauge is left without a type."""

Hosts = Sequence[tuple[str, Schema]]
Place = tuple[str, str]
"""A family's name, and what stands in a line between the host's name and the value."""


@dataclass(frozen=True, slots=True)
class _Lines:
    """One family: of each line its host, what stands after that, and where its value is."""

    name: str
    hosts: list[str]
    tails: list[str]
    places: NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is written for these hosts with these series, save for the values."""

    hosts: Hosts
    families: dict[str, _Lines]


class FleetMetrics:
    """Writes fleets, and keeps what two scrapes have in common."""

    def __init__(self) -> None:
        self._columns: WeakKeyDictionary[Schema, dict[str, list[tuple[int, str]]]]
        self._columns = WeakKeyDictionary()
        self._plans: list[_Plan] = []

    async def written(
        self, own: Iterable[Family], hosts: Sequence[HostState], *, openmetrics: bool = False
    ) -> list[bytes]:
        """The server's own families and the fleet's, as the pieces of one gzip stream."""
        shown: list[tuple[str, Schema]] = []
        values: list[Floats] = [np.empty(0)]
        for count, host in enumerate(hosts, 1):
            if host.status is HostStatus.UP:
                shown.append((host.name, host.schema))
                values.append(host.current_raw())
            if count % HOSTS_AT_ONCE == 0:
                await asyncio.sleep(0)
        families = [*own, *about(hosts)]
        return await asyncio.to_thread(
            self._packed, families, shown, np.concatenate(values), openmetrics
        )

    def _packed(
        self, own: Sequence[Family], hosts: Hosts, values: Floats, openmetrics: bool
    ) -> list[bytes]:
        pack = zlib.compressobj(DEFLATE_LEVEL, wbits=31)
        pieces = [
            packed
            for text in _text(own, self._plan(hosts), values, openmetrics=openmetrics)
            if (packed := pack.compress(text.encode("utf-8", "replace")))
        ]
        return [*pieces, pack.flush()]

    def _plan(self, hosts: Hosts) -> _Plan:
        for plan in self._plans:
            if plan.hosts == hosts:
                return plan
        columns = [(host, self._exported(schema)) for host, schema in hosts]
        starts = np.cumsum([0, *(len(schema) for _, schema in hosts)]).tolist()
        names = sorted({name for _, found in columns for name in found})
        families = {}
        for name in names:
            places: list[int] = []
            lines = _Lines(name, [], [], np.empty(0, np.intp))
            for (host, found), start in zip(columns, starts, strict=False):
                for column, tail in found.get(name, ()):
                    places.append(start + column)
                    lines.tails.append(tail)
                    lines.hosts.append(host)
            families[name] = _Lines(name, lines.hosts, lines.tails, np.array(places, np.intp))
        made = _Plan(hosts, families)
        self._plans = [made, *self._plans][:MOST_PLANS]
        return made

    def _exported(self, schema: Schema) -> dict[str, list[tuple[int, str]]]:
        """Family → columns of a schema, each with the end of its line; of twins the first."""
        known = self._columns.get(schema)
        if known is None:
            known = {}
            seen: set[Place] = set()
            for column, key in enumerate(schema.keys):
                name, labels = exported(key)
                tail = "".join(f',{label}="{quoted(value)}"' for label, value in labels)
                if (name, tail) not in seen:
                    seen.add((name, tail))
                    known.setdefault(name, []).append((column, f'"{tail}}} '))
            self._columns[schema] = known
        return known


def about(hosts: Sequence[HostState]) -> tuple[Family, Family]:
    """Which hosts are up, and each one's labels, to be joined to its series by ``host``."""
    up = tuple(({HOST_LABEL: host.name}, float(host.status is HostStatus.UP)) for host in hosts)
    info = tuple((_labels(host), 1.0) for host in hosts)
    return (
        Family("monitor_host_up", "1 where a host's frames come as they should.", "gauge", up),
        Family("monitor_host_info", "Always 1; a host's labels.", "gauge", info),
    )


def _labels(host: HostState) -> Mapping[str, str]:
    return {HOST_LABEL: host.name, **{label_name(name): v for name, v in host.labels.items()}}


OURS = frozenset({"monitor_host_up", "monitor_host_info"})
"""Families in which a host's own series of that name would stand beside what we say of it."""


def _text(
    own: Sequence[Family], plan: _Plan, values: Floats, *, openmetrics: bool
) -> Iterator[str]:
    """All of it, some lines at a time.

    A host may have a series of a name that is the server's too (its processor time, say, out of
    an exporter); both stand in one family then.
    """
    bases: set[str] = set()
    for family in own:
        bases.add(family.name.removesuffix("_total"))
        yield exposition.text([family], openmetrics=openmetrics)
        if family.name in plan.families and family.name not in OURS:
            yield from _lines(plan.families[family.name], values)
    names = {family.name for family in own}
    for name, lines in plan.families.items():
        base = name.removesuffix("_total")
        if name in names or (openmetrics and base in bases):
            continue  # in OpenMetrics x and x_total are one name
        bases.add(base)
        known = CATALOG.get(catalog_name(name) or "")
        kind: exposition.Kind = "unknown"
        if known is not None and not name.endswith(PARTS):
            kind = "counter" if known.kind is Kind.COUNTER else "gauge"
        written = _lines(lines, values)
        first = next(written, "")
        if first:
            help_ = known.help if known is not None else NOT_DESCRIBED
            yield head(name, help_, kind, openmetrics=openmetrics) + first
            yield from written
    if openmetrics:
        yield exposition.OPENMETRICS_END


def _lines(lines: _Lines, values: Floats) -> Iterator[str]:
    """A family's lines, without those that have no value now."""
    begin = f'{lines.name}{{{HOST_LABEL}="'
    for start in range(0, len(lines.tails), LINES_AT_ONCE):
        part = slice(start, start + LINES_AT_ONCE)
        found = values[lines.places[part]]
        told = zip(
            repeat(begin), lines.hosts[part], lines.tails[part], found.tolist(), strict=False
        )
        if np.isfinite(found).all():
            text = "".join([f"{b}{host}{tail}{value!r}\n" for b, host, tail, value in told])
        else:
            text = "".join(
                [f"{b}{host}{tail}{number(v)}\n" for b, host, tail, v in told if v == v]  # noqa: PLR0124
            )
        if text:
            yield text
