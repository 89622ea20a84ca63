"""How a file writes unit tests of rules.

    [[test]]
    name = "a disk that fills"
    interval = "1m"
    [[test.series]]
    host = "db-1"
    labels = { role = "db" }
    key = 'system.filesystem.utilization{mountpoint="/var"}'
    values = "80%x10 97%x30"
    [[test.expect]]
    at = "25m"
    rule = "disk_space"
    host = "db-1"
    state = "firing"
    severity = "critical"

Every fault is told, each with its place.  It reads a text and knows no files.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

from monitor.alerting.ruletests import Expected, Series, State, Test
from monitor.core import quantity
from monitor.core.labels import label_name, label_value
from monitor.core.notation import expanded
from monitor.core.quantity import format_seconds, shown
from monitor.core.rules.model import Severity
from monitor.core.toml_lines import KeyPath, Outline, locate
from monitor.errors import ConfigError, excerpt
from monitor.model import SeriesKey

LONGEST_TEXT_BYTES = 1024 * 1024
MOST_TESTS = 1_000
MOST_SERIES = 200
MOST_EXPECTED = 1_000
LONGEST_TEST_SECONDS = 31 * 86_400.0
MOST_COMPLAINTS = 20


def read(text: str, file: str) -> tuple[Test, ...]:
    """The tests of a file.

    Raises `ConfigError` with every complaint, each naming file, line, column and path.
    """
    if len(text.encode()) > LONGEST_TEXT_BYTES:
        raise ConfigError([f"{file}: expected at most 1 MiB of tests"])
    outline = locate(text)
    if outline.faults:
        place, sentence = outline.faults[0]
        raise ConfigError([f"{file}:{place.line}:{place.column}: {sentence}"])
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{file}: {excerpt(str(error))}"]) from None
    reader = _Reader(file, outline)
    found = reader.tests(tables)
    if reader.complaints:
        raise ConfigError(reader.complaints[:MOST_COMPLAINTS])
    return found


class _Reader:
    """Reads tests from tables, gathering complaints."""

    def __init__(self, file: str, outline: Outline) -> None:
        self._file = file
        self._outline = outline
        self.complaints: list[str] = []

    def tests(self, tables: Mapping[str, Any]) -> tuple[Test, ...]:
        """All of them."""
        self._known(tables, ("test",), ())
        given = self._tables(tables, "test", (), MOST_TESTS)
        if not given and not self.complaints:
            self._say((), "there is no [[test]]")
        return tuple(self._test(table, ("test", number)) for number, table in enumerate(given))

    def _test(self, table: Mapping[str, Any], path: KeyPath) -> Test:
        self._known(table, ("name", "interval", "series", "expect"), path)
        interval = self._seconds(table, "interval", path, 60.0)
        if not 1 <= interval <= 86_400:
            self._say((*path, "interval"), "expected from 1s to 1d")
        series = self._tables(table, "series", path, MOST_SERIES)
        expected = self._tables(table, "expect", path, MOST_EXPECTED)
        for name, found in (("series", series), ("expect", expected)):
            if not found:
                self._say(path, f"there is no [[test.{name}]]")
        return Test(
            name=self._text(table, "name", path, f"test {int(path[1]) + 1}"),
            interval_seconds=interval,
            series=tuple(
                self._series(each, (*path, "series", number)) for number, each in enumerate(series)
            ),
            expected=tuple(
                self._expected(each, (*path, "expect", number))
                for number, each in enumerate(expected)
            ),
            origin=f"{self._file}:{self._line(path)}",
        )

    def _series(self, table: Mapping[str, Any], path: KeyPath) -> Series:
        self._known(table, ("host", "labels", "key", "values"), path)
        key = self._read(table, "key", path, lambda text: str(SeriesKey.parse(text)))
        values = self._read(table, "values", path, expanded)
        labels = self._labels(table, "labels", path)
        return Series(self._text(table, "host", path), labels, key or "", tuple(values or ()))

    def _expected(self, table: Mapping[str, Any], path: KeyPath) -> Expected:
        self._known(table, ("at", "rule", "host", "state", "severity", "attributes"), path)
        at = self._seconds(table, "at", path)
        if at > LONGEST_TEST_SECONDS:
            self._say((*path, "at"), f"expected at most {format_seconds(LONGEST_TEST_SECONDS)}")
        severity = self._word(table, "severity", path, tuple(Severity), None)
        state = self._word(table, "state", path, get_args(State), "firing")
        if severity and state == "inactive":
            self._say((*path, "severity"), "what is inactive has none")
        return Expected(
            at=at,
            rule=self._text(table, "rule", path),
            host=self._text(table, "host", path),
            state=state or "firing",  # type: ignore[arg-type]
            severity=Severity(severity) if severity else None,
            attributes=self._labels(table, "attributes", path),
        )

    # One value each

    def _known(self, table: Mapping[str, Any], known: Sequence[str], path: KeyPath) -> None:
        for key in table:
            if key not in known:
                near = difflib.get_close_matches(key[:64], known, 1)
                hint = f"; did you mean {near[0]}?" if near else f": {', '.join(known)}"
                self._say((*path, key), f"there is no such key{hint}")

    def _tables(
        self, table: Mapping[str, Any], key: str, path: KeyPath, most: int
    ) -> list[Mapping[str, Any]]:
        given = table.get(key, [])
        where = ".".join((*(str(part) for part in path[:1]), key))
        if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
            self._say((*path, key), f"expected tables [[{where}]], got {shown(given)}")
            return []
        if len(given) > most:
            self._say((*path, key), f"expected at most {most:,} of them, got {len(given):,}")
        return given[:most]

    def _text(
        self, table: Mapping[str, Any], key: str, path: KeyPath, default: str | None = None
    ) -> str:
        given = table.get(key, default)
        if given is None:
            self._say((*path, key), "it is missing")
            return ""
        if not isinstance(given, str) or not given.isprintable() or not 0 < len(given) <= 255:
            self._say((*path, key), f"expected a text, got {shown(given)}")
            return ""
        return given

    def _read(
        self, table: Mapping[str, Any], key: str, path: KeyPath, read_: Callable[[str], Any]
    ) -> Any:
        given = table.get(key)
        if not isinstance(given, str):
            said = "it is missing" if given is None else f"expected a text, got {shown(given)}"
            self._say((*path, key), said)
            return None
        try:
            return read_(given)
        except (ValueError, IndexError) as error:
            self._say((*path, key), str(error) or f"got {shown(given)}")
            return None

    def _seconds(
        self, table: Mapping[str, Any], key: str, path: KeyPath, default: float | None = None
    ) -> float:
        given = table.get(key)
        if given is None and default is not None:
            return default
        try:
            return quantity.parse_seconds(given)
        except ValueError as error:
            self._say((*path, key), "it is missing" if given is None else str(error))
            return 1.0

    def _word(
        self,
        table: Mapping[str, Any],
        key: str,
        path: KeyPath,
        known: Sequence[str],
        default: str | None,
    ) -> str | None:
        given = table.get(key, default)
        if given is not None and given not in known:
            self._say((*path, key), f"expected {', '.join(known)}, got {shown(given)}")
            return default
        return None if given is None else str(given)

    def _labels(self, table: Mapping[str, Any], key: str, path: KeyPath) -> dict[str, str]:
        given = table.get(key, {})
        if not isinstance(given, dict):
            self._say(
                (*path, key), f'expected a table such as {{ role = "db" }}, got {shown(given)}'
            )
            return {}
        found = {}
        for name, value in given.items():
            try:
                if not isinstance(value, str):
                    raise ValueError(f"expected a text, got {shown(value)}")  # noqa: TRY301, TRY004 - one place tells of all
                found[label_name(name)] = label_value(value)
            except ValueError as error:
                self._say((*path, key, name), str(error))
        return found

    def _line(self, path: KeyPath) -> int:
        place = self._outline.places.get(path)
        return place.line if place else 1

    def _say(self, path: KeyPath, sentence: str) -> None:
        where = path
        while where and where not in self._outline.places:
            where = where[:-1]
        place = self._outline.places.get(where)
        at = f":{place.line}:{place.column}" if place else ""
        dotted = "".join(
            f"[{part + 1}]" if isinstance(part, int) else f".{excerpt(part)}" for part in path
        ).lstrip(".")
        self.complaints.append(f"{self._file}{at}: {dotted + ': ' if dotted else ''}{sentence}")
