"""Events in SQLite: the statements, each function within a transaction that its caller began.

It knows tables and rows, and no thread, no file and no clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import apsw

from monitor.log import checkpoints, damage, event_rows, floors
from monitor.log.event_rows import SELECT, Row
from monitor.log.records import MOST_PAGE_BYTES, RECORD_BYTES, Record, page_size
from monitor.model import Event, RetentionClass
from monitor.ports import Conflict, Gap

BATCH_EVENTS = 500
"""Events that trimming or erasing removes in one transaction: some milliseconds."""

_CLASSES = {str(class_): class_ for class_ in RetentionClass}

Complain = Callable[[int, str], None]
"""Told of the position of an event that is damaged, and how that is known."""


@dataclass(frozen=True, slots=True)
class Appended:
    """Records that got the positions from `first` on."""

    first: int
    records: Sequence[Record]

    @property
    def last(self) -> int:
        """The last one's position."""
        return self.first + len(self.records) - 1

    @property
    def size(self) -> int:
        """What they hold, in bytes."""
        return sum(record.size for record in self.records)


def last_position(connection: apsw.Connection, scope: str | None = None) -> int:
    """The last position that was ever given, of all or of one scope; 0 if none."""
    if scope is None:
        found = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").get
    else:
        found = connection.execute("SELECT last FROM scopes WHERE scope = ?", (scope,)).get
    return int(found or 0)


def append(
    connection: apsw.Connection, records: Sequence[Record], scope: str | None, expect: int | None
) -> Appended:
    """Insert records at the next positions.  Raises `Conflict` before anything is written."""
    if scope is not None and expect is not None:
        at = last_position(connection, scope)
        if at != expect:
            raise Conflict(at)
    first = last_position(connection) + 1
    connection.executemany(
        event_rows.INSERT,
        (event_rows.values(sequence, record) for sequence, record in enumerate(records, first)),
    )
    connection.executemany(
        "INSERT INTO event_topics VALUES (?, ?)",
        (
            (topic, sequence)
            for sequence, record in enumerate(records, first)
            for topic in record.topics
        ),
    )
    grown: Counter[str] = Counter()
    for record in records:
        grown[record.class_] += record.size
    connection.executemany(
        "UPDATE classes SET bytes = bytes + ? WHERE class = ?",
        [(size, class_) for class_, size in grown.items()],
    )
    appended = Appended(first, records)
    if scope is not None:
        connection.execute(
            "INSERT INTO scopes VALUES (?1, ?2) ON CONFLICT DO UPDATE SET last = ?2",
            (scope, appended.last),
        )
    return appended


def read(
    connection: apsw.Connection,
    after: int,
    of: frozenset[str] | RetentionClass | None,
    limit: int,
    complain: Complain,
) -> tuple[list[Event], int, int]:
    """A page: see `monitor.ports.EventLog.read`.  In a damaged event's place is a notice."""
    floor = _floor(connection, of)
    last = searched = last_position(connection)
    if not floor <= after <= last:
        raise Gap(floor)
    most = page_size(limit)
    rows = _rows(connection, after, of, most)
    found: list[Event] = []
    damaged: dict[int, Row] = {}
    weight = 0
    for row in rows:
        weight += event_rows.weight(row)
        if len(found) == most or (found and weight > MOST_PAGE_BYTES):
            searched = row[0] - 1
            break
        try:
            found.append(event_rows.event(row))
        except event_rows.Unreadable as error:
            complain(row[0], str(error))
            damaged[len(found)] = row
            found.append(damage.stand_in(row[0], (), event_rows.instant(row)))
    if damaged:
        stood_on = _indexed(connection, {row[0] for row in damaged.values()})
        for index, row in damaged.items():
            heard = dict.fromkeys((*event_rows.topics(row[2]), *stood_on[row[0]]))
            found[index] = damage.stand_in(row[0], heard, event_rows.instant(row))
    return found, searched, floor


def _rows(
    connection: apsw.Connection,
    after: int,
    of: frozenset[str] | RetentionClass | None,
    most: int,
) -> Iterable[Row]:
    """The first events that were asked for and one more."""
    if of is None:
        statement = SELECT + "WHERE sequence > ? ORDER BY sequence LIMIT ?"
        return connection.execute(statement, (after, most + 1))
    if isinstance(of, RetentionClass):
        statement = SELECT + "WHERE class = ? AND sequence > ? ORDER BY sequence LIMIT ?"
        return connection.execute(statement, (of.value, after, most + 1))
    return _rows_on(connection, after, of, most)


def _rows_on(
    connection: apsw.Connection, after: int, topics: frozenset[str], most: int
) -> Iterator[Row]:
    """The first events on any of these topics and one more, each found by the topic's index.

    One that the index names and that has no row comes as an empty one.
    """
    sequences: set[int] = set()
    for topic in topics:
        sequences.update(
            sequence
            for (sequence,) in connection.execute(
                "SELECT sequence FROM event_topics WHERE topic = ? AND sequence > ?"
                " ORDER BY sequence LIMIT ?",
                (topic, after, most + 1),
            )
        )
    for sequence in sorted(sequences)[: most + 1]:
        empty = (sequence, None, None, None, None, None, None)
        yield connection.execute(SELECT + "WHERE sequence = ?", (sequence,)).fetchone() or empty


def _indexed(connection: apsw.Connection, sequences: set[int]) -> dict[int, list[str]]:
    """The topics of events by the index of topics, for events that cannot say them.

    It reads the whole index, once for all of them: only damage is worth that.
    """
    found: dict[int, list[str]] = {sequence: [] for sequence in sequences}
    for topic, sequence in connection.execute(
        "SELECT topic, sequence FROM event_topics WHERE sequence BETWEEN ? AND ?",
        (min(sequences), max(sequences)),
    ):
        if sequence in found:
            found[sequence].append(topic)
    return found


def _class_floors(connection: apsw.Connection) -> dict[RetentionClass, int]:
    rows = connection.execute("SELECT class, floor FROM classes")
    found = {_CLASSES.get(class_): int(floor) for class_, floor in rows}
    if found.keys() != set(RetentionClass):
        # Without a floor a part would be taken for the whole.
        raise apsw.CorruptError("the floors of the log are not there")
    return {class_: floor for class_, floor in found.items() if class_ is not None}


def _floor(connection: apsw.Connection, of: frozenset[str] | RetentionClass | None) -> int:
    classes = _class_floors(connection)
    if isinstance(of, RetentionClass):
        return classes[of]
    if of is None:
        highest = connection.execute("SELECT max(floor) FROM erased").get
        return floors.floor_of(None, classes, {"": highest or 0})
    erased: dict[str, int] = {}
    for topic in of:
        floor = connection.execute("SELECT floor FROM erased WHERE topic = ?", (topic,)).get
        if floor is not None:
            erased[topic] = floor
    return floors.floor_of(of, classes, erased)


def trim(
    connection: apsw.Connection, class_: RetentionClass, before: float, max_bytes: int | None
) -> int:
    """Remove up to `BATCH_EVENTS` of a class's oldest events; how many.

    Fewer than that many means that there is nothing more to remove.
    """
    stop = checkpoints.oldest(
        value
        for (value,) in connection.execute(
            # The character after the slash ends the keys that begin so.
            "SELECT value FROM registry WHERE key >= ? AND key < ? AND value IS NOT NULL",
            (checkpoints.PREFIX, checkpoints.PREFIX[:-1] + "0"),
        )
    )
    weight = connection.execute("SELECT bytes FROM classes WHERE class = ?", (class_.value,)).get
    found: list[tuple[int, object]] = []
    freed = 0
    for sequence, at, length, encoded in connection.execute(
        "SELECT sequence, at, length(document), topics FROM events"
        " WHERE class = ? AND sequence <= ? ORDER BY sequence LIMIT ?",
        (class_.value, stop, BATCH_EVENTS),
    ):
        too_heavy = max_bytes is not None and weight - freed > max_bytes
        if not (at < before or too_heavy):
            break
        found.append((sequence, encoded))
        freed += length + RECORD_BYTES
    if not found:
        return 0
    going = _with_topics(connection, found)
    connection.execute(
        "UPDATE classes SET floor = ?, bytes = bytes - ? WHERE class = ?",
        (going[-1][0], freed, class_.value),
    )
    for sequence, topics in going:
        _raise_erased(connection, floors.strays(class_, topics), sequence)
    _forget_covered(connection)
    _remove(connection, going)
    return len(going)


def erase(connection: apsw.Connection, topic: str) -> int:
    """Remove up to `BATCH_EVENTS` events on a topic; how many, and fewer when that was all."""
    found: list[tuple[int, object]] = []
    freed: Counter[str] = Counter()
    for sequence, class_, length, encoded in connection.execute(
        "SELECT sequence, class, length(document), topics FROM event_topics JOIN events"
        " USING (sequence) WHERE topic = ? ORDER BY sequence LIMIT ?",
        (topic, BATCH_EVENTS),
    ):
        found.append((sequence, encoded))
        freed[class_] += length + RECORD_BYTES
    going = [
        # What its row says may be damaged: it stands on this topic, whatever else.
        (sequence, tuple(dict.fromkeys((topic, *topics))))
        for sequence, topics in _with_topics(connection, found)
    ]
    for sequence, topics in going:
        _raise_erased(connection, topics, sequence)
    connection.executemany(
        "UPDATE classes SET bytes = bytes - ? WHERE class = ?",
        [(size, class_) for class_, size in freed.items()],
    )
    _remove(connection, going)
    return len(going)


def _with_topics(
    connection: apsw.Connection, found: Sequence[tuple[int, object]]
) -> list[tuple[int, tuple[str, ...]]]:
    """Events with the topics that their rows say, or the index where a row cannot."""
    unread = {sequence for sequence, encoded in found if not event_rows.can_read(encoded)}
    stood_on = _indexed(connection, unread) if unread else {}
    return [
        (sequence, tuple(stood_on.get(sequence, ())) or event_rows.topics(encoded))
        for sequence, encoded in found
    ]


def _raise_erased(connection: apsw.Connection, topics: Iterable[str], floor: int) -> None:
    for topic in topics:
        connection.execute(
            "INSERT INTO erased VALUES (?1, ?2) ON CONFLICT DO UPDATE SET floor = max(floor, ?2)",
            (topic, floor),
        )


def _forget_covered(connection: apsw.Connection) -> None:
    """Erased topics whose classes have been trimmed as far need no floor of their own."""
    classes = _class_floors(connection)
    # What no class's floor has reached cannot be covered: this looks at few, once.
    rows: list[tuple[str, int]] = list(
        connection.execute(
            "SELECT topic, floor FROM erased WHERE floor <= ?", (max(classes.values()),)
        )
    )
    connection.executemany(
        "DELETE FROM erased WHERE topic = ?",
        [(topic,) for topic, floor in rows if floors.is_covered(topic, floor, classes)],
    )


def _remove(connection: apsw.Connection, going: Sequence[tuple[int, tuple[str, ...]]]) -> None:
    connection.executemany(
        "DELETE FROM event_topics WHERE topic = ? AND sequence = ?",
        [(topic, sequence) for sequence, topics in going for topic in topics],
    )
    connection.executemany(
        "DELETE FROM events WHERE sequence = ?", [(sequence,) for sequence, _ in going]
    )
