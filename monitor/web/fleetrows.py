"""The rows of the fleet page as HTML, written here because there are a thousand of them.

It prints what `monitor.web.fleetview` made, as a template would, at a tenth of what that costs.
Names, versions and labels come from outside and are escaped; numbers and units are our own words.
Which KEY a cell shows, and how it is written, stands at its column's heading in
`templates/fleet.html`: `static/js/columns.js` gives it to the cells.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from urllib.parse import quote

from markupsafe import Markup, escape

from monitor.web.alarm import HostAlarm
from monitor.web.fleetview import FLEET_COLUMNS, FleetRow
from monitor.web.views import Value

FRESH_SECONDS = 1.5
"""An age or a period of less is what the page takes for granted."""

NO_ALARMS: Mapping[str, HostAlarm] = MappingProxyType({})

_OPENINGS = tuple("<td>" if column.narrow else "<td class=minor>" for column in FLEET_COLUMNS)


def fleet_rows(
    rows: Iterable[FleetRow], query: str, alarms: Mapping[str, HostAlarm] = NO_ALARMS
) -> Markup:
    """The rows of the fleet's table; `query` is the range that their links keep.

    `alarms` says of hosts how many of their alerts want somebody.
    """
    kept = str(escape(query))
    # Nothing in it is anybody's but what `_row` escapes.
    return Markup("".join([_row(row, kept, alarms.get(row.name)) for row in rows]))  # noqa: S704  # nosec B704


def _alarm(alarm: HostAlarm, host: str) -> str:
    """How many of a host's alerts want somebody, with the way to them."""
    query = quote(f'host="{host}"', safe="", errors="replace")
    return (
        f' <a class="hostalarm is-{alarm.look}" href="/alerts?match={query}">'
        f'<span aria-hidden="true">{alarm.shape}</span> <span>{alarm.firing}</span>'
        '<span class="unseen"> firing</span></a>'
    )


def _row(row: FleetRow, kept: str, alarm: HostAlarm | None = None) -> str:
    name, word = str(escape(row.name)), row.status.word
    skew = ""
    if row.skew:
        said = str(escape(row.skew))
        skew = (
            f' <small class="is-warn skew" title="{said}">'
            f'<span aria-hidden="true">▲</span> <span>{said}</span></small>'
        )
    firing = _alarm(alarm, row.name) if alarm is not None else ""
    cells = "".join([_cell(*both) for both in zip(_OPENINGS, row.values, strict=True)])
    address = quote(row.name, errors="replace")
    return (
        f'<tr data-host="{name}"><td class="text"><span class="status is-{word}"'
        f' data-status="{name}"><span aria-hidden="true">{row.status.shape}</span>'
        f" <span>{word}</span></span></td>"
        f'<th scope="row"><a href="/hosts/{address}{kept}">{name}</a>{firing}{skew}</th>{cells}'
        f'<td class="text minor version">{escape(row.version)}</td>'
        '<td class="minor sparked"><svg class="spark" width="120" height="16" viewBox="0 0 60 16"'
        f' preserveAspectRatio="none" role="img" aria-label="{escape(row.spark.label)}">'
        f'<path d="{row.spark.path}"/></svg></td></tr>\n'
    )


def _cell(opening: str, value: Value) -> str:
    """One value with what the page needs to know of its age, where that is worth a word."""
    _, _, number, unit, age, late, period, _ = value
    said = ""
    if age > FRESH_SECONDS:
        said = f' data-age="{age:.1f}"'
    if not 0 < period <= FRESH_SECONDS:
        said += f' data-period="{value.expected:.1f}"'
    words = f"<span>{number}</span> <small>{unit}</small>"
    if not late:
        return f'{opening}<span class="v"{said}>{words}</span></td>'
    return (
        f'{opening}<span class="v late" title="{late} ago"{said}>{words}'
        f' <small class="age">{late} ago</small></span></td>'
    )
