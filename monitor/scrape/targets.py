"""Whom to poll: targets as they are written, and files of them in Prometheus' file_sd form.

A target is ``HOST:PORT`` or a URL of http or https.  Its host is the part before the port, unless
its file gives the label ``host``.  Files are JSON: lists of
``{"targets": ["HOST:PORT", …], "labels": {…}}``.  Of Prometheus' own labels ``__scheme__`` and
``__metrics_path__`` are obeyed, and others that begin with two underscores are left out.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monitor.core.labels import few_labels, label_name, label_value
from monitor.core.quantity import shown
from monitor.errors import InputError, excerpt
from monitor.ingest import names
from monitor.outbound.faults import UrlNotAllowed
from monitor.outbound.targets import Place, parse_url

MOST_TARGETS = 1_000
"""In all: each has a task, a connection and a table of its series."""

MOST_FILES = 100
"""Files that one glob may find."""

FILE_BYTES = 1024 * 1024
"""The largest of them."""

DEFAULT_PATH = "/metrics"


@dataclass(frozen=True, slots=True)
class Target:
    """One place that is polled for one job.

    `instance` is ``HOST:PORT`` as Prometheus has it, and the path where that is not /metrics;
    `labels` are its host's.
    """

    job: str
    url: str = field(repr=False)
    place: Place
    host: str
    instance: str
    labels: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def shown(self) -> str:
        """Its URL for people: without a query, which may be secret."""
        return self.url.partition("?")[0]

    @property
    def source(self) -> str:
        """What its lane is called."""
        return f"scrape:{self.job}/{self.instance}"


def target_text(value: str) -> str:
    """A target of the configuration as it is.  Raises `ValueError` where it is none."""
    made("job", value)
    return value


def made(job: str, text: str, labels: Mapping[str, str] | None = None) -> Target:
    """The target that a text means, with a host's labels.  Raises `ValueError`."""
    given = dict(labels or {})
    scheme = given.pop("__scheme__", "http")
    path = given.pop("__metrics_path__", DEFAULT_PATH)
    host = given.pop("host", "")
    url = text if "://" in text else f"{scheme}://{text}"
    try:
        judged = parse_url(url)
    except UrlNotAllowed as error:
        raise ValueError(
            f'{error.detail}; expected "HOST:PORT" or a URL, got {_masked(text)}'
        ) from None
    if "/" not in url.partition("://")[2]:
        url = url + (path if path.startswith("/") else f"/{path}")
        judged = parse_url(url)
    host = host or judged.place.host.replace(":", "-")
    try:
        names.host(host)
    except InputError as error:
        raise ValueError(error.detail) from None
    own = {name: value for name, value in given.items() if not name.startswith("__")}
    asked = judged.rest.partition("?")[0]
    instance = judged.place.written + (asked if asked != DEFAULT_PATH else "")
    return Target(job, url, judged.place, host, instance, own)


def _masked(text: str) -> str:
    return shown(text.partition("?")[0].rpartition("@")[2])


@dataclass(frozen=True, slots=True)
class Listed:
    """What files say now: targets, and in a sentence each what is wrong with them."""

    targets: tuple[Target, ...] = ()
    complaints: tuple[str, ...] = ()


class TargetFiles:
    """The files that one glob finds.  A broken one is as it was when it was last whole."""

    def __init__(self, job: str, pattern: Path, labels: Mapping[str, str]) -> None:
        self._job = job
        self._pattern = pattern
        self._labels = labels
        self._known: dict[Path, tuple[tuple[int, ...], tuple[Target, ...], str]] = {}

    def look(self) -> Listed:
        """Read what has changed; it blocks, so it is for a worker thread."""
        found: dict[Path, tuple[tuple[int, ...], tuple[Target, ...], str]] = {}
        complaints: list[str] = []
        try:
            paths = sorted(self._pattern.parent.glob(self._pattern.name))
        except (OSError, ValueError, IndexError):
            paths = []
        if not paths:
            complaints.append(f"there is no file {shown(self._pattern.name)}")
            return Listed(self._all(self._known), tuple(complaints))
        for path in paths[:MOST_FILES]:
            known = self._known.get(path)
            signature = _signature(path)
            if known is None or known[0] != signature:
                try:
                    known = signature, self._read(path), ""
                except (OSError, ValueError) as error:
                    said = error.strerror if isinstance(error, OSError) else str(error)
                    before = known[1] if known else ()
                    known = signature, before, f"{path.name}: {said}"
            found[path] = known
        if len(paths) > MOST_FILES:
            complaints.append(f"{len(paths) - MOST_FILES} files are not read")
        complaints += [said for _, _, said in found.values() if said]
        self._known = found
        return Listed(self._all(found), tuple(complaints))

    def _all(
        self, known: Mapping[Path, tuple[tuple[int, ...], tuple[Target, ...], str]]
    ) -> tuple[Target, ...]:
        return tuple(target for _, targets, _ in known.values() for target in targets)

    def _read(self, path: Path) -> tuple[Target, ...]:
        # Opening does not wait for the other end of a pipe.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ValueError("is no regular file")
            content = file.read(FILE_BYTES + 1)
        if len(content) > FILE_BYTES:
            raise ValueError(f"is larger than {FILE_BYTES >> 20} MiB")
        try:
            groups = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"is no JSON: {excerpt(str(error))}") from None
        if not isinstance(groups, list):
            raise ValueError('is no list of {"targets": […], "labels": {…}}')  # noqa: TRY004
        found = [target for group in groups for target in self._group(group)]
        if len(found) > MOST_TARGETS:
            raise ValueError(f"has more than {MOST_TARGETS:,} targets")
        return tuple(found)

    def _group(self, group: Any) -> Iterator[Target]:
        texts = group.get("targets") if isinstance(group, dict) else None
        labels = group.get("labels") if isinstance(group, dict) else None
        labels = {} if labels is None else labels
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise ValueError("a group's targets are no list of text")
        if not isinstance(labels, dict) or not all(
            isinstance(value, str) for value in labels.values()
        ):
            raise ValueError("a group's labels are no table of text")
        for name, value in labels.items():
            if name.startswith("__"):
                continue
            label_name(name)
            label_value(value)
        few_labels(labels)
        for text in texts:
            yield made(self._job, text, {**self._labels, **labels})


def _signature(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError as error:
        return (-(error.errno or 1),)
    return found.st_ino, found.st_size, found.st_mtime_ns


def distinct(targets: Sequence[Target]) -> tuple[list[Target], list[str]]:
    """The targets that are polled, and in a sentence each which are not.

    Of those whose series would have the same names the first one is, and `MOST_TARGETS` in all.
    """
    first: dict[tuple[str, str], Target] = {}
    for target in targets:
        first.setdefault((target.job, target.instance), target)
    kept = list(first.values())
    same = len(set(targets)) - len(kept)
    complaints = []
    if same:
        said = "differ from another one of their job only in the scheme, the query or the host"
        complaints.append(f"{same} targets {said}, and are not polled")
    if len(kept) > MOST_TARGETS:
        more = len(kept) - MOST_TARGETS
        complaints.append(f"{more} targets are more than {MOST_TARGETS:,} and are not polled")
    return kept[:MOST_TARGETS], complaints
