"""Prometheus' text: format 0.0.4 and OpenMetrics 1.0, of one target, scrape after scrape.

What stands before a value is the same in every scrape of a target, so it is looked at once: from
then on a line costs one look into a table and the number.  Everything that the table does not know
goes to `exposition_lines`, which reads a line by its grammar and says line and column of a fault.
A fault refuses the whole scrape.  It knows no target and no host.

Where readers of these formats differ, this one

- wants the line feed at the end, so that a body that was cut is not taken for a whole one;
- keeps the first of two samples of one series, and counts the others;
- takes NaN and both infinities as they are, and no hexadecimal numbers and no underscores;
- does not judge what metadata say of the order, the grouping or the suffixes of samples.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.errors import InputError
from monitor.ingest.exposition_lines import (
    MOST_BYTES,
    MOST_SAMPLES,
    ExpositionError,
    Sample,
    Series,
    read_comment,
    read_exemplar,
    read_sample,
    read_timestamp,
)

MOST_LINES = 5 * MOST_SAMPLES
"""With comments and empty lines; three a sample is usual where every metric has one."""

SPARE_CHARACTERS = 256 * 1024
"""The tables may hold so much more than twice the last scrape; then they are made anew, as for a
target whose labels change all the time."""

SPARE_SERIES = 4_000
"""And so many series more than twice what a scrape may have, while they are read."""

_PLAIN = re.compile(r"[^0-9.eE+-]")
"""What stands in no ordinary number."""

_SPECIAL = frozenset({"NaN", "+Inf", "-Inf", "Inf", "nan", "+inf", "-inf", "inf"})

_EOF = re.compile(r"(?:\A|\n)# EOF\n?\Z")


class Format(enum.Enum):
    """Which of the two a body is in."""

    TEXT = "text"
    OPENMETRICS = "openmetrics"


ACCEPT = (
    "application/openmetrics-text;version=1.0.0;q=0.8,"
    "application/openmetrics-text;version=0.0.1;q=0.7,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
"""What to ask for."""


def format_of(content_type: str) -> Format:
    """The format that a Content-Type names; without one it is the text format.

    Raises `InputError` (``not_exposition``) where it names something else.
    """
    media = content_type.partition(";")[0].strip().lower()
    if media == "application/openmetrics-text":
        return Format.OPENMETRICS
    if media in ("text/plain", ""):
        return Format.TEXT
    detail = "the answer is no exposition: its Content-Type is neither text/plain nor OpenMetrics'"
    raise InputError(detail, code="not_exposition")


@dataclass(frozen=True, slots=True)
class Scraped:
    """The samples of one scrape, in the order of their lines and each series once.

    Sample number n has the series ``series[slots[n]]`` and the value ``values[n]``, which may be
    NaN or infinite; `timestamps` has the unix seconds of those that say when they were taken.
    """

    series: list[Series]
    slots: list[int]
    values: NDArray[np.float64]
    timestamps: dict[int, float]
    duplicates: int
    generation: int
    """Slots mean the same series for as long as it does not change."""


class Exposition:
    """Reads one target's bodies, one at a time, in any thread."""

    def __init__(self, most_samples: int = MOST_SAMPLES, most_bytes: int = MOST_BYTES) -> None:
        self._most_samples = most_samples
        self._most_bytes = most_bytes
        self._generation = 0
        self._slots: dict[str, int] = {}
        self._comments: set[str] = set()
        self._series: list[Series] = []
        self._by_series: dict[Series, int] = {}
        self._held_characters = 0

    def __len__(self) -> int:
        """How many texts are known."""
        return len(self._slots) + len(self._comments)

    def read(self, body: bytes, form: Format) -> Scraped:
        """The samples of a body.  Raises `InputError`; then nothing of it counts.

        Its codes: ``not_exposition``, ``bad_exposition`` (with line and column), ``missing_eof``,
        ``bad_utf8``, ``unsupported_histogram``, ``too_large``, ``too_many_samples``,
        ``limit_line``, ``limit_name``, ``limit_labels``.
        """
        is_open = form is Format.OPENMETRICS
        lines = self._lines(body, is_open)
        try:
            found = self._quickly(lines, is_open)
            if found is None:
                found = self._carefully(lines, is_open)
        except ExpositionError as error:
            raise error.as_input_error() from None
        finally:
            series, generation = self._series, self._generation
            if self._held_characters > 2 * len(body) + SPARE_CHARACTERS:
                self._forget()
        slots, values, timestamps = found
        duplicates = len(slots) - len(set(slots))
        if duplicates:
            slots, values, timestamps = _first(slots, values, timestamps)
        return Scraped(series, slots, values, timestamps, duplicates, generation)

    def _lines(self, body: bytes, is_open: bool) -> list[str]:
        if len(body) > self._most_bytes:
            detail = f"a scrape has at most {self._most_bytes:,} bytes"
            raise InputError(detail, code="too_large", limit=self._most_bytes)
        if body.count(b"\n") > MOST_LINES:
            detail = f"a scrape has at most {MOST_LINES:,} lines"
            raise InputError(detail, code="too_many_samples", limit=MOST_LINES)
        if body[:64].lstrip()[:1] == b"<":
            raise InputError("the answer is a page of HTML or XML", code="not_exposition")
        try:
            text = body.decode()
        except UnicodeDecodeError as error:
            line = body.count(b"\n", 0, error.start) + 1
            detail = f"line {line}: byte 0x{body[error.start]:02x} is not UTF-8"
            raise InputError(detail, code="bad_utf8") from None
        if is_open:
            end = _EOF.search(text)
            if end is None:
                detail = "OpenMetrics ends with the line # EOF, which is missing: it may be cut"
                raise InputError(detail, code="missing_eof")
            text = text[: end.start() + 1] if end[0][0] == "\n" else ""
        lines = text.split("\n")
        if lines[-1]:
            number, column = len(lines), len(lines[-1]) + 1
            raise ExpositionError(
                number, column, "the last line does not end with a line feed: it may be cut"
            ).as_input_error()
        lines.pop()
        return lines

    def _quickly(
        self, lines: list[str], is_open: bool
    ) -> tuple[list[int], NDArray[np.float64], dict[int, float]] | None:
        """All samples, where every number is an ordinary one; else none."""
        known, comments = self._slots.get, self._comments
        slots: list[int] = []
        numbers: list[str] = []
        timestamps: dict[int, float] = {}
        add_slot, add_number = slots.append, numbers.append
        for line_number, line in enumerate(lines, 1):
            head, _, number = line.rpartition(" ")
            slot = known(head)
            if slot is None:
                if line in comments:
                    continue
                sample = self._other(line, line_number, is_open)
                if sample is None:
                    continue
                slot, number, timestamp = sample
                if timestamp is not None:
                    timestamps[len(slots)] = timestamp
            add_slot(slot)
            add_number(number)
        self._require_few(len(slots))
        if _PLAIN.search("".join(numbers)):
            ordinary = "".join(number for number in numbers if number not in _SPECIAL)
            if _PLAIN.search(ordinary):
                return None
        try:
            values = np.array(list(map(float, numbers)), np.float64)
        except ValueError:
            return None
        infinite = np.flatnonzero(np.isinf(values)).tolist()
        if any(numbers[place] not in _SPECIAL for place in infinite):
            return None
        return slots, values, timestamps

    def _other(
        self, line: str, line_number: int, is_open: bool
    ) -> tuple[int, str, float | None] | None:
        """What a line says that the tables do not know whole; none where it is a comment."""
        head, hash_mark, exemplar = line.partition(" # ") if is_open else (line, "", "")
        before, _, last = head.rpartition(" ")
        slot = self._slots.get(before)
        if slot is not None and hash_mark and read_exemplar(exemplar):
            return slot, last, None
        series, _, number = before.rpartition(" ")
        slot = self._slots.get(series)
        if slot is not None and (not hash_mark or read_exemplar(exemplar)):
            timestamp = read_timestamp(last, is_open)
            if timestamp is not None:
                return slot, number, timestamp
        if line.startswith("#") or not line.strip(" \t"):
            read_comment(line, line_number, is_open)
            self._comments.add(line)
            self._held_characters += len(line)
            return None
        sample = read_sample(line, line_number, is_open)
        return self._slot(line, sample), sample.number, sample.timestamp

    def _carefully(
        self, lines: list[str], is_open: bool
    ) -> tuple[list[int], NDArray[np.float64], dict[int, float]]:
        """The same by the grammar of every line; raises at the first that has none."""
        slots: list[int] = []
        values: list[float] = []
        timestamps: dict[int, float] = {}
        for number, line in enumerate(lines, 1):
            if line in self._comments:
                continue
            sample = read_sample(line, number, is_open)
            if sample.timestamp is not None:
                timestamps[len(slots)] = sample.timestamp
            slots.append(self._slot(line, sample))
            values.append(sample.value)
        return slots, np.array(values, np.float64), timestamps

    def _slot(self, line: str, sample: Sample) -> int:
        """The slot of a sample's series; what stands before its value is remembered."""
        slot = self._by_series.get(sample.series)
        if slot is None:
            self._require_few((len(self._series) - SPARE_SERIES) // 2)
            slot = self._by_series[sample.series] = len(self._series)
            self._series.append(sample.series)
            self._held_characters += sample.number_at
        if line[sample.number_at - 1] == " ":
            self._slots[line[: sample.number_at - 1]] = slot
            self._held_characters += sample.number_at
        return slot

    def _require_few(self, samples: int) -> None:
        if samples > self._most_samples:
            detail = f"a scrape has at most {self._most_samples:,} samples"
            raise InputError(detail, code="too_many_samples", limit=self._most_samples)

    def _forget(self) -> None:
        self._generation += 1
        self._slots, self._comments = {}, set()
        self._series, self._by_series = [], {}
        self._held_characters = 0


def _first(
    slots: list[int], values: NDArray[np.float64], timestamps: dict[int, float]
) -> tuple[list[int], NDArray[np.float64], dict[int, float]]:
    """The first sample of each series."""
    seen: set[int] = set()
    kept: list[int] = []
    for place, slot in enumerate(slots):
        if slot not in seen:
            seen.add(slot)
            kept.append(place)
    found = {new: timestamps[old] for new, old in enumerate(kept) if old in timestamps}
    return [slots[place] for place in kept], values[kept], found
