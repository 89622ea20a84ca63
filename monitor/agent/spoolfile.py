"""The spool on disk: one SQLite file of frames that no server has acknowledged yet.

Each frame is one row: its number, its instant, and its values, compressed (2 kB become 0.7) unless
it is not meant to stay.
`sqlite3` of the standard library, because an agent must run where nothing can be installed; it is
used from one thread.  It knows no network and nothing of what is sent when.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import struct
import time
import zlib
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monitor.agent.folder import IDENTITY_FILE, identity, is_held, locked, which, write_private
from monitor.errors import StartError
from monitor.model import Schema

FILE = "spool.db"

LAYOUT = 1
"""The version of the tables; a file of another one is put aside."""

PAGE_BYTES = 4096

CACHE_KIB = 256
"""Of pages in memory: writing needs few, and reading goes through once."""

CHECKPOINT_PAGES = 256
"""How far the log of changes grows before it is brought in: some 85 seconds of one host."""

DROP_ROWS = 64
"""Frames let go of at once, when there is no room or they are too old."""

VACUUM_PAGES = 64
"""Pages given back to the disk with one write, once a backlog is gone."""

FREE_PAGES = 512
"""Free pages (2 MB) that are kept: they are used again at once."""

SCHEMAS_UNTIL_PRUNED = 100
"""New schemas after which those are forgotten that no frame has any more."""

ROOM_EVERY_WRITES = 16
"""The bounds are looked at with every so manieth write, and at once where the disk is full."""

AGED_ROWS = 2 * ROOM_EVERY_WRITES
"""Frames let go of with one look because they are too old: two for each that comes, so that a
clock that is years ahead for a while does not empty the spool."""

AGING = 2.0
"""How fast frames may grow old, beside the time that passes: the same clock, stepped while we run,
is not believed at once."""

LONGEST_BLOCK_BYTES = 0xFFFF
"""Of zlib's blocks that are not compressed."""

_ZLIB_HEAD = b"\x78\x01"
_BLOCK_HEAD = struct.Struct("<BHH")
"""Whether it is the last one; how long it is, and the same with every bit turned over."""

UNSEEN_NUMBERS = 10_000
"""Frames that the log of changes may hold, where it cannot be read: some hundred times as many as
it does."""

_TABLES = """
CREATE TABLE schemas (id INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE, keys BLOB NOT NULL);
CREATE TABLE frames (
  number INTEGER PRIMARY KEY, at REAL NOT NULL, schema INTEGER NOT NULL, row BLOB NOT NULL,
  tables BLOB
);
"""


@dataclass(frozen=True, slots=True)
class Kept:
    """A frame as it is kept: `tables` are its snapshots, packed by whoever made them."""

    number: int
    at: float
    schema: Schema
    values: array[float]
    tables: bytes | None = None


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is kept and how long."""

    size_bytes: int
    age_seconds: float


class SpoolFile:
    """The open spool of one folder.

    `agent` is the lasting identity of this installation.  `notes` are sentences about what went
    wrong and was mended, for the log; whoever reads them clears them.  `dropped` counts frames
    that were let go of unsent, by reason.
    """

    def __init__(self, folder: Path, bounds: Bounds) -> None:
        self.notes: list[str] = []
        self.dropped = {"size": 0, "age": 0, "damage": 0}
        self._folder = folder
        self._bounds = bounds
        self._writes = 0
        self._new_schemas = 0
        self._file: tuple[int, int] | None = None
        self._ids: dict[str, int] = {}
        self._schemas: dict[int, Schema] = {}
        self._age = time.time(), time.monotonic()
        self._lock = locked(folder)
        try:
            self.agent = identity(folder)
            self._database = self._opened()
        except BaseException:
            os.close(self._lock)
            raise

    def numbers(self) -> tuple[int, int]:
        """The first and the last number that are kept; 0 and 0 of an empty spool."""
        question = "SELECT min(number), max(number) FROM frames"
        if self._is_open:
            first, last = self._database.execute(question).fetchone()
            return first or 0, last or 0
        # The file alone can be read still; what the log of changes has comes after it.
        url = f"{(self._folder / FILE).absolute().as_uri()}?mode=ro&immutable=1"
        try:
            with contextlib.closing(sqlite3.connect(url, uri=True)) as database:
                first, last = database.execute(question).fetchone()
        except sqlite3.Error:
            first = last = None
        return first or 1, (last or 0) + UNSEEN_NUMBERS

    def count(self) -> int:
        """How many frames are kept."""
        found: int = self._database.execute("SELECT count(*) FROM frames").fetchone()[0]
        return found

    def size_bytes(self) -> int:
        """What the kept frames take on disk."""
        return (self._pragma("page_count") - self._pragma("freelist_count")) * PAGE_BYTES

    def write(
        self,
        frames: Sequence[Kept],
        done: Iterable[tuple[int, int]] = (),
        *,
        is_brief: bool = False,
    ) -> None:
        """Keep these frames and let go of the numbers in `done`, as one transaction.

        What is kept briefly, until the next write, is not worth compressing.
        Where the disk is full the oldest go first.  Raises `OSError` where nothing could be
        written; a damaged file is put aside, and the frames begin a new one.
        """
        done, pack = tuple(done), _stored if is_brief else _compressed
        self._look_for_file()
        try:
            self._write(frames, done, pack)
        except sqlite3.Error as error:
            self._rolled_back()
            try:
                self._mend(error)
                self._write(frames, done, pack)
            except (sqlite3.Error, OSError) as again:
                self._rolled_back()
                raise OSError(f"the spool cannot be written: {again}") from None

    def read(self, first: int, last: int, most: int) -> list[Kept]:
        """The oldest of the frames numbered from `first` to `last`, all of one schema."""
        lost = 0
        while True:
            try:
                rows = self._rows(first, last, most)
            except sqlite3.Error as error:
                if not _is_damage(error):
                    raise OSError(f"the spool cannot be read: {error}") from None
                self._begin_anew(error)
                return []
            found: list[Kept] = []
            damaged: list[int] = []
            for number, at, schema_id, row, tables in rows:
                kept = self._kept(number, at, schema_id, row, tables)
                if kept is None:
                    damaged.append(number)
                elif not found or kept.schema is found[0].schema:
                    found.append(kept)
                else:
                    break
            self._drop_damaged(damaged)
            lost += len(damaged)
            if found or not damaged:
                if lost:
                    self.notes.append(f"{lost} frames in the spool were damaged and are lost")
                return found
            first = damaged[-1] + 1

    def _rows(self, first: int, last: int, most: int) -> list[tuple[Any, ...]]:
        return self._database.execute(
            "SELECT number, at, schema, row, tables FROM frames"
            " WHERE number BETWEEN ? AND ? ORDER BY number LIMIT ?",
            (first, last, most),
        ).fetchall()

    def close(self) -> None:
        """Bring everything into the one file, and let others have it."""
        with contextlib.suppress(sqlite3.Error):
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with contextlib.suppress(sqlite3.Error):
            self._database.close()
        os.close(self._lock)

    def _opened(self) -> sqlite3.Connection:
        path = self._folder / FILE
        try:
            return self._connected(path)
        except sqlite3.OperationalError as error:
            if not _is_damage(error):  # a folder that cannot be written, a full disk
                detail = f"the spool {path} cannot be opened: {error}"
                if not path.exists():
                    raise StartError(detail, code="spool") from None
                # A full disk is no reason not to tell of it; writing tries to open it again.
                self.notes.append(detail)
                self._file = which(path)
                return _unopened()
            self._put_aside(error)
        except sqlite3.DatabaseError as error:
            self._put_aside(error)
        return self._connected(path)

    def _connected(self, path: Path) -> sqlite3.Connection:
        database = sqlite3.connect(path, timeout=5, isolation_level=None, check_same_thread=False)
        try:
            self._prepare(database)
        except BaseException:
            database.close()
            raise
        self._file = which(path)
        return database

    def _prepare(self, database: sqlite3.Connection) -> None:
        """Set a connection up and learn the schemas.  Raises `sqlite3.Error` at damage."""
        for pragma in (
            f"page_size={PAGE_BYTES}",
            "auto_vacuum=INCREMENTAL",
            "journal_mode=WAL",
            # Of a killed process nothing is lost; a power cut may cost what the log of
            # changes holds, and never the file.
            "synchronous=NORMAL",
            f"cache_size=-{CACHE_KIB}",
            f"wal_autocheckpoint={CHECKPOINT_PAGES}",
            f"journal_size_limit={4 * CHECKPOINT_PAGES * PAGE_BYTES}",
            "temp_store=MEMORY",
            "trusted_schema=OFF",
        ):
            database.execute(f"PRAGMA {pragma}")
        layout = database.execute("PRAGMA user_version").fetchone()[0]
        if layout == 0:
            database.execute("BEGIN IMMEDIATE")
            for statement in _TABLES.split(";"):
                database.execute(statement)
            database.execute(f"PRAGMA user_version={LAYOUT}")
            database.execute("COMMIT")
        elif layout != LAYOUT:
            raise sqlite3.DatabaseError(f"its layout is {layout}, known is {LAYOUT}")
        told = database.execute("PRAGMA quick_check(1)").fetchone()[0]
        if told != "ok":
            raise sqlite3.DatabaseError(str(told))
        rows = database.execute("SELECT id, CAST(digest AS BLOB), keys FROM schemas").fetchall()
        self._schemas, self._ids = {}, {}
        for schema_id, digest, keys in rows:
            schema = _unpacked_schema(keys)
            if schema is not None and schema.digest.encode() == digest:
                self._schemas[schema_id] = schema
                self._ids[schema.digest] = schema_id
            else:
                # Its frames cannot be read; what it stood for is kept anew under another number.
                database.execute("DELETE FROM schemas WHERE id = ?", (schema_id,))

    def _write(
        self,
        frames: Sequence[Kept],
        done: Sequence[tuple[int, int]],
        pack: Callable[[bytes], bytes],
    ) -> None:
        database = self._database
        # A new schema has a transaction of its own, so that its number is known to be kept.
        rows = [
            (
                each.number,
                each.at,
                self._schema_id(each.schema),
                pack(each.values.tobytes()),
                None if each.tables is None else pack(each.tables),
            )
            for each in frames
        ]
        database.execute("BEGIN IMMEDIATE")
        for first, last in done:
            database.execute("DELETE FROM frames WHERE number BETWEEN ? AND ?", (first, last))
        database.executemany("INSERT OR REPLACE INTO frames VALUES (?, ?, ?, ?, ?)", rows)
        database.execute("COMMIT")
        self._writes += 1
        if self._writes % ROOM_EVERY_WRITES == 1:
            self._make_room()
            if self._pragma("freelist_count") > FREE_PAGES:
                # `execute` would stop after the first page, for the statement has no columns.
                database.executescript(f"PRAGMA incremental_vacuum({VACUUM_PAGES})")

    def _schema_id(self, schema: Schema) -> int:
        known = self._ids.get(schema.digest)
        if known is not None:
            return known
        self._new_schemas += 1
        if self._new_schemas > SCHEMAS_UNTIL_PRUNED:
            self._prune_schemas()
        keys = zlib.compress("\n".join(schema.texts).encode())
        cursor = self._database.execute(
            "INSERT INTO schemas (digest, keys) VALUES (?, ?)", (schema.digest, keys)
        )
        schema_id = cursor.lastrowid or 0
        self._ids[schema.digest] = schema_id
        self._schemas[schema_id] = schema
        return schema_id

    def _prune_schemas(self) -> None:
        self._new_schemas = 0
        self._database.execute("DELETE FROM schemas WHERE id NOT IN (SELECT schema FROM frames)")
        left = {row[0] for row in self._database.execute("SELECT id FROM schemas")}
        self._schemas = {number: each for number, each in self._schemas.items() if number in left}
        self._ids = {digest: number for digest, number in self._ids.items() if number in left}

    def _make_room(self, at_least: int = 0) -> None:
        """Let go of what is too old, and of the oldest while there is too much."""
        oldest = self._age_now() - self._bounds.age_seconds
        self.dropped["age"] += self._delete_oldest(AGED_ROWS, "AND at < ?", (oldest,))
        while at_least > 0 or self.size_bytes() > self._bounds.size_bytes:
            gone = self._delete_oldest(DROP_ROWS, "", ())
            self.dropped["size"] += gone
            at_least -= gone
            if not gone:
                return

    def _age_now(self) -> float:
        """The clock by which frames grow old: the machine's, while that does not jump ahead."""
        believed, looked_at = self._age
        now = time.monotonic()
        self._age = min(time.time(), believed + AGING * (now - looked_at)), now
        return self._age[0]

    def _delete_oldest(self, most: int, which: str, values: tuple[float, ...]) -> int:
        return self._database.execute(
            "DELETE FROM frames WHERE number IN"  # noqa: S608 - a constant and two fixed texts
            f" (SELECT number FROM frames ORDER BY number LIMIT {most}) {which}",
            values,
        ).rowcount

    def _kept(
        self, number: int, at: Any, schema_id: int, row: bytes, tables: bytes | None
    ) -> Kept | None:
        """A row as a frame, none where it is damaged."""
        schema = self._schemas.get(schema_id)
        values = array("d")
        try:
            values.frombytes(zlib.decompress(row))
            tables = None if tables is None else zlib.decompress(tables)
        except (zlib.error, ValueError, TypeError):  # a damaged cell may be of any type
            return None
        if schema is None or not isinstance(at, float) or len(values) != len(schema):
            return None
        return Kept(number, at, schema, values, tables)

    def _drop_damaged(self, numbers: list[int]) -> None:
        if not numbers:
            return
        self.dropped["damage"] += len(numbers)
        with contextlib.suppress(sqlite3.Error):
            self._database.executemany(
                "DELETE FROM frames WHERE number = ?", [(number,) for number in numbers]
            )

    def _mend(self, error: sqlite3.Error) -> None:
        """Do what may let the next try succeed."""
        if _is_damage(error):
            self._begin_anew(error)
        elif isinstance(error, sqlite3.ProgrammingError):
            self._database = self._connected(self._folder / FILE)  # none could be opened before
        elif _is(error, sqlite3.SQLITE_FULL):
            self._make_room(at_least=DROP_ROWS)

    def _rolled_back(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")

    @property
    def _is_open(self) -> bool:
        try:
            _ = self._database.total_changes
        except sqlite3.ProgrammingError:
            return False
        return True

    def _look_for_file(self) -> None:
        """Put the file back where it was taken away: what is open holds all of it still.

        Raises `OSError` where that cannot be, or where another agent has the folder now.
        """
        path = self._folder / FILE
        if which(path) == self._file or not self._is_open:
            return
        if not is_held(self._folder, self._lock):
            try:
                lock = locked(self._folder)
            except StartError as error:
                raise OSError(error.detail) from None
            os.close(self._lock)
            self._lock = lock
        for ending in ("", "-wal", "-shm"):
            Path(f"{path}{ending}").unlink(missing_ok=True)
        try:
            write_private(self._folder / IDENTITY_FILE, self.agent + "\n")
            self._database.execute("VACUUM INTO ?", (str(path),))
        except (sqlite3.Error, StartError) as error:
            path.unlink(missing_ok=True)
            raise OSError(f"the spool {path} is gone, and cannot be put back: {error}") from None
        self._database.close()
        self._database = self._connected(path)
        self.notes.append(f"somebody has removed {path}; it is put back")

    def _begin_anew(self, error: sqlite3.Error) -> None:
        with contextlib.suppress(sqlite3.Error):
            self._database.close()
        self._put_aside(error)
        self._database = self._connected(self._folder / FILE)

    def _put_aside(self, error: sqlite3.Error) -> None:
        """Move the damaged file away; one is kept for whoever wants to look, no more."""
        for older in self._folder.glob(f"{FILE}.damaged*"):
            with contextlib.suppress(OSError):
                older.unlink()
        aside = f"{FILE}.damaged-{int(time.time())}"
        for ending in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                (self._folder / f"{FILE}{ending}").rename(self._folder / f"{aside}{ending}")
        self.notes.append(f"the spool was damaged ({error}); it is put aside as {aside}")

    def _pragma(self, name: str) -> int:
        found: int = self._database.execute(f"PRAGMA {name}").fetchone()[0]
        return found


def _unopened() -> sqlite3.Connection:
    """A connection that says of everything that it is closed."""
    database = sqlite3.connect(":memory:")
    database.close()
    return database


def _is_damage(error: sqlite3.Error) -> bool:
    return _is(error, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _is(error: sqlite3.Error, *codes: int) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in codes


def _compressed(content: bytes) -> bytes:
    return zlib.compress(content, 1)


def _stored(content: bytes) -> bytes:
    """What zlib reads as this content, checked by its sum and not compressed (RFC 1950, 1951).

    Of zlib itself even that would cost as much as compressing so little.
    """
    pieces = [_ZLIB_HEAD]
    for at in range(0, len(content), LONGEST_BLOCK_BYTES):
        block = content[at : at + LONGEST_BLOCK_BYTES]
        is_last = at + len(block) == len(content)
        pieces += (_BLOCK_HEAD.pack(is_last, len(block), len(block) ^ 0xFFFF), block)
    if not content:
        pieces.append(_BLOCK_HEAD.pack(True, 0, 0xFFFF))
    pieces.append(zlib.adler32(content).to_bytes(4, "big"))
    return b"".join(pieces)


def _unpacked_schema(keys: bytes) -> Schema | None:
    """The schema of a row, none where it is damaged: then its cells may be of any type."""
    try:
        return Schema(tuple(zlib.decompress(keys).decode().split("\n")))
    except (zlib.error, ValueError, TypeError):
        return None
