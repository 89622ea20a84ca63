"""Schemas by number: which KEYs a chunk's columns are, and which of them count.

Numbers are given in the event loop and written with the next commit; a shape is looked up in
any thread, and the newest are kept in memory.
"""

from __future__ import annotations

import hashlib
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import apsw
import numpy as np
from numpy.typing import NDArray

from monitor.core.catalog import is_counter
from monitor.model import Schema
from monitor.store.codec import ChunkDamaged

MOST_SHAPES = 1_024
"""Kept in memory; a host has one at a time, and a few in a day."""

MOST_KEYS_BYTES = 16 * 1024 * 1024
"""No schema's KEYs are longer than this together."""


@dataclass(frozen=True, eq=False)
class Shape:
    """The KEYs of a chunk's columns, in order."""

    keys: tuple[str, ...]

    @cached_property
    def index(self) -> dict[str, int]:
        """Each KEY's column."""
        return {key: column for column, key in enumerate(self.keys)}

    @cached_property
    def counters(self) -> NDArray[np.bool_]:
        """Which columns count."""
        return counting(self.keys)


def counting(keys: tuple[str, ...]) -> NDArray[np.bool_]:
    """Which of these KEYs are counters'."""
    return np.fromiter((is_counter(key.partition("{")[0]) for key in keys), bool, len(keys))


class Shapes:
    """Every schema that the store has, by number and by the digest of its KEYs."""

    def __init__(self) -> None:
        self.unsaved: dict[int, tuple[bytes, bytes]] = {}
        """Digest and deflated KEYs of those whose row is not committed yet."""
        self._numbers: dict[bytes, int] = {}
        self._shapes: dict[int, Shape] = {}
        self._next = 1
        self._keeping = threading.Lock()

    def load(self, connection: apsw.Connection) -> None:
        """Learn the numbers that are taken."""
        self._numbers = {
            bytes(digest): number
            for number, digest in connection.execute("SELECT id, digest FROM schemas")
        }
        self._next = 1 + max(self._numbers.values(), default=0)

    def number(self, keys: tuple[str, ...]) -> int:
        """The number of a schema; one that is new is `unsaved` until its row is committed."""
        text = "\n".join(keys).encode("utf-8", "surrogatepass")
        if text.count(b"\n") >= max(len(keys), 1):
            raise ValueError("a KEY has no line breaks")
        digest = hashlib.sha256(text).digest()
        found = self._numbers.get(digest)
        if found is None:
            found = self._numbers[digest] = self._next
            self._next += 1
            self.unsaved[found] = digest, zlib.compress(text)
        self._keep(found, Shape(keys))
        return found

    def number_of(self, schema: Schema) -> int:
        """The number of a frame's schema."""
        found = self._numbers.get(bytes.fromhex(schema.digest[7:]))
        return self.number(schema.texts) if found is None else found

    def forget(self, numbers: list[int]) -> None:
        """These are in no chunk any more, and their rows are gone."""
        gone = set(numbers)
        self._numbers = {d: number for d, number in self._numbers.items() if number not in gone}
        with self._keeping:
            for number in numbers:
                self._shapes.pop(number, None)

    def shape(self, connection: apsw.Connection, number: int) -> Shape:
        """A schema by its number.  Raises `ChunkDamaged` where it is not what was written."""
        found = self._shapes.get(number)
        if found is None:
            found = _read(connection, number)
            self._keep(number, found)
        return found

    def _keep(self, number: int, shape: Shape) -> None:
        with self._keeping:  # a thread that looks for the oldest must not see another one come
            self._shapes.setdefault(number, shape)
            while len(self._shapes) > MOST_SHAPES:
                del self._shapes[next(iter(self._shapes))]


def save(connection: apsw.Connection, unsaved: dict[int, tuple[bytes, bytes]]) -> None:
    """Write schemas' rows, within a transaction."""
    connection.executemany(
        "INSERT OR IGNORE INTO schemas VALUES (?, ?, ?)",
        [(number, digest, keys) for number, (digest, keys) in unsaved.items()],
    )


def _read(connection: apsw.Connection, number: int) -> Shape:
    row = connection.execute("SELECT digest, keys FROM schemas WHERE id = ?", (number,)).fetchone()
    if row is None:
        raise ChunkDamaged(f"there is no schema {number}")
    inflating = zlib.decompressobj()
    try:
        text = inflating.decompress(row[1], MOST_KEYS_BYTES)
    except (zlib.error, TypeError) as error:
        raise ChunkDamaged(f"schema {number} does not inflate: {error}") from error
    if hashlib.sha256(text).digest() != row[0]:
        raise ChunkDamaged(f"schema {number} is not what was written")
    keys = text.decode("utf-8", "surrogatepass")
    return Shape(tuple(keys.split("\n")) if keys else ())


def damaged(connection: apsw.Connection) -> Iterator[str]:
    """Which schemas that are in use are not what was written, in words."""
    rows: list[Any] = connection.execute(
        "SELECT id FROM schemas UNION SELECT schema FROM chunks"
        " UNION SELECT schema FROM host_schemas"
    ).fetchall()
    for (number,) in rows:
        try:
            _read(connection, number)
        except ChunkDamaged as error:
            yield str(error)


def unused(connection: apsw.Connection) -> list[int]:
    """Schemas that no chunk has, a few at a time."""
    found = connection.execute(
        "SELECT id FROM schemas WHERE NOT EXISTS"
        " (SELECT 1 FROM chunks WHERE chunks.schema = schemas.id) LIMIT 1000"
    )
    return [number for (number,) in found]


def delete(connection: apsw.Connection, numbers: list[int]) -> list[int]:
    """Within a transaction: remove those of these that still no chunk has; which went."""
    still = set(unused(connection))
    given = [(number,) for number in numbers if number in still]
    connection.executemany("DELETE FROM host_schemas WHERE schema = ?", given)
    connection.executemany("DELETE FROM schemas WHERE id = ?", given)
    return [number for (number,) in given]
