"""The schemas of one host that pushes: what it agreed, and the columns that its state has.

It knows documents and frames; who sends them and how often is not its business.
"""

from __future__ import annotations

import math
import threading
from array import array
from collections import OrderedDict

from monitor.errors import InputError
from monitor.ingest.push import MOST_SERIES, Columns, PushDocument
from monitor.model import Frame, Schema

MOST_SERIES_IN_ALL = 500_000
"""KEYs of all remembered schemas, about 0.5 kB each: 1,000 hosts with 500."""

MOST_SCHEMAS = 8
"""Schemas remembered of one host: a disk comes and goes, backfill speaks the former one."""

MOST_WIDENED = 2
"""Of those, how many are kept with the columns of the simple form behind their own."""


class Room:
    """How many KEYs more may be remembered, of all hosts together; used from any thread."""

    def __init__(self, most: int = MOST_SERIES_IN_ALL) -> None:
        self._most = most
        self._left = most
        self._lock = threading.Lock()

    def has(self, series: int) -> bool:
        """Whether so many more have room."""
        return self._left >= series

    def take(self, series: int) -> None:
        """Take room; raises `InputError` (``series_limit``) where there is none."""
        with self._lock:
            if self._left < series:
                detail = f"all hosts together have at most {self._most} series"
                raise InputError(detail, code="series_limit", field="schema", limit=self._most)
            self._left -= series

    def give_back(self, series: int) -> None:
        """Give back what was taken."""
        with self._lock:
            self._left += series


class Schemas:
    """The schemas of one host.  `known` may be asked from any thread."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._columns: OrderedDict[str, Columns] = OrderedDict()
        self._by_texts: dict[tuple[str, ...], Columns] = {}
        self._main: Schema | None = None
        self._extras: dict[str, None] = {}
        self._widened: dict[str, Schema] = {}

    def known(self, schema: tuple[str, ...] | str) -> Columns | None:
        """The columns that this host has agreed, by the list of KEYs or the list's digest."""
        if isinstance(schema, str):
            return self._columns.get(schema)
        return self._by_texts.get(schema)

    def agree(self, columns: Columns) -> Columns:
        """Remember a schema; the one remembered, where it was already.

        Older ones of this host are forgotten for it.  Raises ``series_limit`` where there is no
        room even then.
        """
        digest, size = columns.schema.digest, len(columns.schema)
        if (found := self._columns.get(digest)) is not None:
            self._columns.move_to_end(digest)
            return found
        while self._columns and (len(self._columns) >= MOST_SCHEMAS or not self._room.has(size)):
            _, oldest = self._columns.popitem(last=False)
            del self._by_texts[oldest.schema.texts]
            self._room.give_back(len(oldest.schema))
        self._room.take(size)
        self._columns[digest] = columns
        self._by_texts[columns.schema.texts] = columns
        return columns

    def frames(self, document: PushDocument, columns: Columns) -> tuple[Frame, ...]:
        """The frames of a push in the columns that this host's state has.

        Several scripts may each send a few numbers of a host in the simple form, beside an
        agent even.  Whatever came so stays a column of all its frames, absent where it was
        not sent: otherwise each push would take the others' numbers out of the present.
        """
        if document.number is None:
            return (self._placed(document.frames[0]),)
        self._main = columns.schema
        schema = self._wide(columns.schema)
        if schema is document.columns.schema:
            return document.frames
        absent = array("d", (math.nan,)) * (len(schema) - len(columns.schema))
        return tuple(
            Frame(frame.host, frame.at, schema, frame.values + absent) for frame in document.frames
        )

    def _placed(self, frame: Frame) -> Frame:
        """A frame of the simple form, in the columns of everything that this host sends."""
        new = [text for text in frame.schema.texts if text not in self._extras]
        if new:
            if len(self._extras) + len(new) > MOST_SERIES:
                raise _too_many(len(self._extras) + len(new), "metrics")
            self._room.take(len(new))
            self._extras.update(dict.fromkeys(new))
            self._forget_widened()
        schema = self._wide(self._main or Schema(()))
        values = array("d", (math.nan,)) * len(schema)
        for text, value in zip(frame.schema.texts, frame.values, strict=True):
            values[schema.index[text]] = value
        return Frame(frame.host, frame.at, schema, values)

    def _wide(self, schema: Schema) -> Schema:
        """A schema with the columns of the simple form behind its own."""
        if not self._extras:
            return schema
        found = self._widened.get(schema.digest)
        if found is not None:
            return found
        more = [text for text in self._extras if text not in schema.index]
        size = len(schema) + len(more)
        if size > MOST_SERIES:
            raise _too_many(size, "schema")
        if len(self._widened) >= MOST_WIDENED:
            self._forget_widened()
        self._room.take(size)
        found = self._widened[schema.digest] = Schema((*schema.texts, *more))
        _ = found.keys  # read here, where it may be a worker thread, rather than in the fold
        return found

    def _forget_widened(self) -> None:
        for schema in self._widened.values():
            self._room.give_back(len(schema))
        self._widened.clear()


def _too_many(series: int, field: str) -> InputError:
    detail = f"a host has at most {MOST_SERIES} series, with these it has {series}"
    return InputError(detail, code="series_limit", field=field, limit=MOST_SERIES)
