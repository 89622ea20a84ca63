"""The schemas of hosts that push: what each has agreed, and the lists that many of them share.

A thousand agents of one kind name the same columns.  Their list is looked at once and kept once,
so that it costs memory once; which hosts may name it by its digest is remembered of each.  It
knows documents and frames; who sends them and how often is not its business.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from monitor.errors import InputError
from monitor.ingest.push import Columns, PushDocument
from monitor.model import Frame

MOST_SERIES_IN_ALL = 500_000
"""KEYs that are remembered, about 0.5 kB each."""

MOST_SCHEMAS = 8
"""Schemas remembered of one host: a disk comes and goes, backfill speaks the former one."""

MOST_SERIES_OF_A_HOST = 20_000
"""KEYs in all schemas of one host: the largest one, and what came before it.  Else a few hosts that
name other ones each time would leave no room for anybody new."""

SHARED_SHARE = 8
"""What a host with a list that is known already costs is its numbers alone: an eighth."""


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


class Lists:
    """Every list of KEYs that some host has agreed, once.  `find` may be asked from any thread."""

    def __init__(self, room: Room | None = None) -> None:
        self.room = room or Room()
        self._by_texts: dict[tuple[str, ...], Columns] = {}
        self._holders: dict[str, int] = {}

    def find(self, texts: tuple[str, ...]) -> Columns | None:
        """The columns of a list that some host has agreed: its KEYs are known to be KEYs."""
        return self._by_texts.get(texts)

    def cost(self, columns: Columns) -> int:
        """What one more host with this list takes of the room."""
        size = len(columns.schema)
        share = -(-size // SHARED_SHARE)
        return share if columns.schema.digest in self._holders else size + share

    def hold(self, columns: Columns) -> Columns:
        """Keep a list for one more host; the one kept, where another has it already.

        Raises `InputError` (``series_limit``) where there is no room.
        """
        self.room.take(self.cost(columns))
        digest = columns.schema.digest
        self._holders[digest] = self._holders.get(digest, 0) + 1
        return self._by_texts.setdefault(columns.schema.texts, columns)

    def release(self, columns: Columns) -> None:
        """One host fewer has it."""
        digest = columns.schema.digest
        left = self._holders.pop(digest) - 1
        if left:
            self._holders[digest] = left
        else:
            del self._by_texts[columns.schema.texts]
        self.room.give_back(self.cost(columns))


class Schemas:
    """The schemas of one host.  `known` may be asked from any thread."""

    def __init__(self, lists: Lists) -> None:
        self._lists = lists
        self._columns: OrderedDict[str, Columns] = OrderedDict()
        self._size = 0

    def __contains__(self, columns: Columns) -> bool:
        return columns.schema.digest in self._columns

    def known(self, digest: str) -> Columns | None:
        """The columns that this host has agreed, by the digest of their list."""
        return self._columns.get(digest)

    def agree(self, columns: Columns) -> Columns:
        """Remember a schema; the one remembered, where it was already.

        Older ones of this host are forgotten for it.  Raises ``series_limit`` where there is no
        room even then.
        """
        digest = columns.schema.digest
        if (found := self._columns.get(digest)) is not None:
            self._columns.move_to_end(digest)
            return found
        lists = self._lists
        size = len(columns.schema)
        while self._columns and (
            len(self._columns) >= MOST_SCHEMAS
            or self._size + size > MOST_SERIES_OF_A_HOST
            or not lists.room.has(lists.cost(columns))
        ):
            _, former = self._columns.popitem(last=False)
            self._size -= len(former.schema)
            lists.release(former)
        found = self._columns[digest] = lists.hold(columns)
        self._size += size
        return found

    def frames(self, document: PushDocument, columns: Columns) -> tuple[Frame, ...]:
        """The frames of a push with the schema that is remembered, which frames share."""
        schema = columns.schema
        if schema is document.columns.schema:
            return document.frames
        return tuple(Frame(each.host, each.at, schema, each.values) for each in document.frames)

    def close(self) -> None:
        """Let go of all of it."""
        for columns in self._columns.values():
            self._lists.release(columns)
        self._columns.clear()
        self._size = 0
