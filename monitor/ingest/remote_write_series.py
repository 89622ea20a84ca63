"""What a series of remote write is here: whose, from which sender, under which KEY.

Labels are looked at once a series.  The host is the label ``host``, else ``instance`` without its
port; ``job`` tells the lane.  What node_exporter and this monitor itself tell gets the catalog's
KEYs; everything else keeps its name, and its labels as attributes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from monitor.core.catalog import metric
from monitor.core.prometheus_names import HOST_LABEL, catalog_name
from monitor.errors import InputError, excerpt
from monitor.ingest import names, node_exporter
from monitor.ingest.node_exporter import Part
from monitor.model import SeriesKey

NAME_LABEL = "__name__"
INSTANCE_LABEL = "instance"
JOB_LABEL = "job"

SOURCE = "write:"
"""How the lanes of remote write are called, with the job behind it."""

_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_PORT = re.compile(r":\d{1,5}\Z", re.ASCII)
_TARGETS = frozenset({HOST_LABEL, INSTANCE_LABEL, JOB_LABEL})


@dataclass(frozen=True, slots=True)
class Place:
    """Where the samples of a series go: a lane, and parts of KEYs there (none: let go of)."""

    host: str
    source: str
    parts: tuple[Part, ...]


def place(labels: Sequence[tuple[str, str]]) -> Place:
    """Where a series goes.

    Raises `InputError`: ``bad_labels`` where they are not as the specification has them (sorted,
    each once, none empty, a name), ``no_host``, ``bad_host_name``, and as `names.key`.
    """
    _require_labels(labels)
    found = dict(labels)
    name = found.pop(NAME_LABEL, "")
    if not name:
        raise _bad("a series has a label __name__")
    host = host_of(found)
    job = found.get(JOB_LABEL, "")
    if len(job) > names.LONGEST_ATTRIBUTE_CHARACTERS:
        raise _bad(f"a label's value has at most {names.LONGEST_ATTRIBUTE_CHARACTERS} characters")
    return Place(host, SOURCE + job, _parts(name, found))


def host_of(labels: Mapping[str, str]) -> str:
    """The host that labels name.  Raises `InputError` (``no_host``, ``bad_host_name``)."""
    host = labels.get(HOST_LABEL)
    if host is None:
        host = labels.get(INSTANCE_LABEL)
        if host is None:
            detail = "a series has a label host, or instance: nobody's cannot be kept"
            raise InputError(detail, code="no_host", field="labels")
        host = _PORT.sub("", host)
        if host.startswith("[") and host.endswith("]"):
            # An address of the sixth version; colons stand in no host's name.
            host = host[1:-1].replace(":", "-").strip("-") or host
    return names.host(host, "labels.host" if HOST_LABEL in labels else "labels.instance")


def _parts(name: str, labels: dict[str, str]) -> tuple[Part, ...]:
    known = node_exporter.mapped(name, labels) if name.startswith("node_") else None
    if known is not None:
        for part in known:
            names.key(part.key, "labels")
        return known
    ours = catalog_name(name) if HOST_LABEL in labels else None
    attributes = {label: value for label, value in labels.items() if label not in _TARGETS}
    if ours is not None and attributes.keys() <= set(metric(ours).attributes):
        return (_part(ours, attributes),)
    # The host is told by itself; an instance is more than its host.
    kept = {label: value for label, value in labels.items() if label != HOST_LABEL}
    return (_part(name, kept),)


def _part(name: str, attributes: Mapping[str, str]) -> Part:
    text = str(SeriesKey(name, tuple(sorted(attributes.items()))))
    names.key(text, "labels")
    return Part(text)


def _require_labels(labels: Sequence[tuple[str, str]]) -> None:
    if len(labels) > names.MOST_ATTRIBUTES:
        detail = f"a series has at most {names.MOST_ATTRIBUTES} labels"
        limit = names.MOST_ATTRIBUTES
        raise InputError(detail, code="limit_labels", field="labels", limit=limit)
    before = ""
    for label, value in labels:
        if _LABEL.fullmatch(label) is None:
            raise _bad(f"{excerpt(label)} is no label's name")
        if not value:
            raise _bad(f"the label {excerpt(label)} has no value")
        if label <= before:
            raise _bad(f"labels are sorted, each once; {excerpt(label)} is not")
        before = label


def _bad(detail: str) -> InputError:
    return InputError(detail, code="bad_labels", field="labels")
