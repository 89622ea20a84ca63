"""One line of Prometheus' text or of OpenMetrics by its grammar, with the column of a fault.

Also the names in quotes that both have lately (``{"my.metric","my.label"="x"} 1``), timestamps and
exemplars.  https://prometheus.io/docs/instrumenting/exposition_formats/ and OpenMetrics 1.0.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import NamedTuple, NoReturn

from monitor.errors import InputError, excerpt
from monitor.ingest.names import (
    LONGEST_ATTRIBUTE_CHARACTERS,
    LONGEST_NAME_CHARACTERS,
    MOST_ATTRIBUTES,
)

MOST_BYTES = 16 * 1024 * 1024
MOST_SAMPLES = 50_000
"""Of one scrape; both as of every push.  They stand here for who has no use for numpy."""

LONGEST_LINE_CHARACTERS = 65_536
"""Labels as long and as many as they may be have half of it."""

LONGEST_EXEMPLAR_CHARACTERS = 4_096

TYPES = frozenset(
    {
        "counter",
        "gauge",
        "histogram",
        "summary",
        "untyped",
        "unknown",
        "info",
        "stateset",
        "gaugehistogram",
    }
)

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_BLANKS = re.compile(r"[ \t]*")
_QUOTED = re.compile(r'"((?:[^"\\]|\\[\\"n])*)"')
_BAD_ESCAPE = re.compile(r'"(?:[^"\\]|\\[\\"n])*(\\)')
_ESCAPE = re.compile(r"\\(.)")
_TOKEN = re.compile(r"[^ \t]*")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII)
_INFINITY = re.compile(r"[+-]?inf(?:inity)?", re.IGNORECASE | re.ASCII)
_MILLISECONDS = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)
_LABEL_PAIR = r'[a-zA-Z_][a-zA-Z0-9_]*="[^"\\]*"'
_USUAL = re.compile(
    rf"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{{((?:{_LABEL_PAIR}(?:,{_LABEL_PAIR})*)?)\}})? ([^ \t{{#]+)"
)
_PAIR = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="([^"\\]*)"')
_COMPOSITE = re.compile(r"\{ *[a-z_]+:")
_EXEMPLAR = re.compile(
    r'\{(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\]|\\[\\"n])*",?)*\} ([^ ]+)(?: ([^ ]+))?', re.ASCII
)


class Series(NamedTuple):
    """A metric's name and its labels, sorted by name and none of them empty."""

    name: str
    labels: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """What one line says; `number` is its value as it is written, at `number_at` of the line."""

    series: Series
    number: str
    number_at: int
    value: float
    timestamp: float | None


class ExpositionError(Exception):
    """A line that cannot be read, and where."""

    def __init__(self, line: int, column: int, sentence: str, code: str = "bad_exposition") -> None:
        super().__init__(sentence)
        self.place = f"line {line}, column {column}"
        self.sentence = sentence
        self.code = code

    def as_input_error(self) -> InputError:
        """The same for whoever asked."""
        return InputError(f"{self.place}: {self.sentence}", code=self.code)


def read_sample(line: str, number: int, is_open: bool) -> Sample:
    """The sample on a line, which is no comment; `number` is the line's.

    Raises `ExpositionError`.
    """
    return _usual(line) or _Line(line, number, is_open).sample()


def _usual(line: str) -> Sample | None:
    """The sample on a line as nearly all are: no escapes, no timestamp; none where it is not."""
    match = _USUAL.fullmatch(line) if len(line) <= LONGEST_LINE_CHARACTERS else None
    if match is None:
        return None
    name, inner, number = match.groups()
    pairs = _PAIR.findall(inner) if inner else []
    labels = dict(pairs)
    value = read_number(number)
    if (
        value is None
        or len(name) > LONGEST_NAME_CHARACTERS
        or len(labels) < len(pairs)
        or len(pairs) > MOST_ATTRIBUTES
        or "__name__" in labels
    ):
        return None
    for each in labels.values():
        if not each or len(each) > LONGEST_ATTRIBUTE_CHARACTERS:
            return None
    series = Series(name, tuple(sorted(pairs)))
    return Sample(series, number, match.start(3), value, None)


def read_comment(line: str, number: int, is_open: bool) -> None:
    """Judge an empty line or one that begins with a hash.  Raises `ExpositionError`."""
    if is_open and not line:
        raise ExpositionError(number, 1, "OpenMetrics has no empty lines")
    _require_short(line, number)
    words = line.split(None, 3)
    if is_open and line == "# EOF":
        raise ExpositionError(number, 1, "there is more after the line # EOF")
    if words[:2] != ["#", "TYPE"]:
        return
    name = words[2] if len(words) > 2 else ""
    if _NAME.fullmatch(name) is None and _QUOTED.fullmatch(name) is None:
        raise ExpositionError(number, 8, f"expected a metric's name, got {excerpt(name)}")
    kind = words[3].strip() if len(words) > 3 else ""
    if kind not in TYPES:
        raise ExpositionError(number, 9 + len(name), f"expected a type, got {excerpt(kind)}")


def read_number(text: str) -> float | None:
    """The number that a text writes in these formats, or none."""
    if _NUMBER.fullmatch(text):
        value = float(text)
        return value if math.isfinite(value) else None
    if text.lower() == "nan":
        return math.nan
    if _INFINITY.fullmatch(text):
        return -math.inf if text[0] == "-" else math.inf
    return None


def read_timestamp(text: str, is_open: bool) -> float | None:
    """Unix seconds of a timestamp, or none where it is no such: seconds, or whole milliseconds."""
    if not is_open:
        return int(text) / 1000 if _MILLISECONDS.fullmatch(text) else None
    found = read_number(text)
    return found if found is not None and math.isfinite(found) else None


def read_exemplar(text: str) -> bool:
    """Whether what follows `` # `` on a line of OpenMetrics is an exemplar."""
    if len(text) > LONGEST_EXEMPLAR_CHARACTERS:
        return False
    match = _EXEMPLAR.fullmatch(text)
    if match is None or read_number(match[1]) is None:
        return False
    return match[2] is None or read_timestamp(match[2], True) is not None


def _require_short(line: str, number: int) -> None:
    if len(line) > LONGEST_LINE_CHARACTERS:
        sentence = f"a line has at most {LONGEST_LINE_CHARACTERS:,} characters"
        raise ExpositionError(number, LONGEST_LINE_CHARACTERS + 1, sentence, "limit_line")


class _Line:
    """A line and how far it is read."""

    def __init__(self, line: str, number: int, is_open: bool) -> None:
        _require_short(line, number)
        self._text = line
        self._number = number
        self._is_open = is_open
        self._at = 0

    def sample(self) -> Sample:
        self._skip()
        series = self._series()
        closed = self._text[self._at - 1] == "}"
        if self._skip() == 0 and not closed:
            self._refuse("expected a value after a blank")
        number_at = self._at
        number = self._token()
        if number.startswith("{"):
            self._refuse_histogram(number_at)
        value = read_number(number)
        if value is None:
            self._at = number_at
            self._refuse("expected a number", number)
        timestamp = None
        self._skip()
        if self._at < len(self._text) and not self._at_exemplar():
            at, token = self._at, self._token()
            timestamp = read_timestamp(token, self._is_open)
            if timestamp is None:
                self._at = at
                self._refuse("expected a timestamp", token)
            self._skip()
        if self._at_exemplar():
            if not read_exemplar(self._text[self._at + 2 :]):
                self._refuse("expected an exemplar", self._text[self._at :])
        elif self._at < len(self._text):
            self._refuse("expected the line's end", self._text[self._at :])
        return Sample(series, number, number_at, value, timestamp)

    def _series(self) -> Series:
        name = ""
        match = _NAME.match(self._text, self._at)
        if match is not None:
            name, self._at = match[0], match.end()
        before = self._at
        self._skip()
        if _COMPOSITE.match(self._text, self._at):
            self._refuse_histogram(self._at)
        if self._next() != "{":
            if not name:
                self._refuse("expected a metric's name", self._text[self._at :])
            self._at = before
            self._require_name(name)
            return Series(name, ())
        self._at += 1
        labels: dict[str, str] = {}
        self._skip()
        while self._next() != "}":
            label = self._label_name()
            self._skip()
            if label.startswith('"') and self._next() != "=":
                if name or labels:
                    self._refuse("a metric's name in quotes comes first, and once")
                name = label[1:]
            else:
                self._add_label(labels, label.removeprefix('"'))
            self._skip()
            if self._next() == ",":
                self._at += 1
                self._skip()
            elif self._next() != "}":
                self._refuse("expected a comma or }", self._text[self._at :])
        self._at += 1
        if not name:
            self._refuse("expected a metric's name")
        self._require_name(name)
        return Series(name, tuple(sorted(pair for pair in labels.items() if pair[1])))

    def _label_name(self) -> str:
        """The name of a label; of one in quotes the first quote stays."""
        if self._next() == '"':
            return '"' + self._quoted()
        match = _LABEL.match(self._text, self._at)
        if match is None:
            self._refuse("expected a label's name", self._text[self._at :])
        self._at = match.end()
        return match[0]

    def _add_label(self, labels: dict[str, str], name: str) -> None:
        at = self._at
        if self._next() != "=":
            self._refuse("expected = after a label's name", self._text[self._at :])
        self._at += 1
        self._skip()
        value = self._quoted()
        if name in labels or name == "__name__":
            self._at = at
            self._refuse("a label stands twice", name)
        if len(value) > LONGEST_ATTRIBUTE_CHARACTERS:
            sentence = f"a label has at most {LONGEST_ATTRIBUTE_CHARACTERS} characters"
            raise ExpositionError(self._number, at + 1, sentence, "limit_labels")
        if len(labels) >= MOST_ATTRIBUTES:
            sentence = f"a series has at most {MOST_ATTRIBUTES} labels"
            raise ExpositionError(self._number, at + 1, sentence, "limit_labels")
        labels[name] = value

    def _quoted(self) -> str:
        match = _QUOTED.match(self._text, self._at)
        if match is not None:
            self._at = match.end()
            inner = match[1]
            if "\\" not in inner:
                return inner
            return _ESCAPE.sub(lambda found: "\n" if found[1] == "n" else found[1], inner)
        bad = _BAD_ESCAPE.match(self._text, self._at)
        if bad is not None:
            self._at = bad.start(1)
            self._refuse(r"after a backslash comes \, \" or n", self._text[self._at : self._at + 2])
        if self._next() == '"':
            self._refuse("a quote is not closed")
        return self._refuse("expected text in quotes", self._text[self._at :])

    def _require_name(self, name: str) -> None:
        if not name or len(name) > LONGEST_NAME_CHARACTERS:
            sentence = f"a metric's name has 1 to {LONGEST_NAME_CHARACTERS} characters"
            raise ExpositionError(self._number, 1, sentence, "limit_name")

    def _at_exemplar(self) -> bool:
        return self._is_open and self._text.startswith("# ", self._at)

    def _next(self) -> str:
        return self._text[self._at : self._at + 1]

    def _skip(self) -> int:
        """Pass blanks; how many."""
        match = _BLANKS.match(self._text, self._at)
        passed = match.end() - self._at if match else 0
        self._at += passed
        return passed

    def _token(self) -> str:
        match = _TOKEN.match(self._text, self._at)
        token = match[0] if match else ""
        self._at += len(token)
        return token

    def _refuse_histogram(self, at: int) -> NoReturn:
        sentence = "native histograms are not read"
        raise ExpositionError(self._number, at + 1, sentence, "unsupported_histogram")

    def _refuse(self, sentence: str, given: str | None = None) -> NoReturn:
        if given is not None:
            sentence = f"{sentence}, got {excerpt(given)}" if given else f"{sentence} here"
        raise ExpositionError(self._number, self._at + 1, sentence)
