"""Looking over the whole file, in the background after the start: what is damaged, in words.

What a reading meets is told from checksums as it goes.  Here is looked for what no reading
would meet: a page of a tree, an index that has lost an entry, a table that was passed over.
"""

from __future__ import annotations

from collections.abc import Callable

import apsw

from monitor.store import chunks, shapes, snapshots
from monitor.store.codec import ChunkDamaged

MOST_COMPLAINTS = 10
"""Damaged places that a check names; one would be enough."""


def damage(
    connection: apsw.Connection, is_ending: Callable[[], bool]
) -> tuple[list[str], dict[int, str]]:
    """What is wrong with the file, and the numbers of the chunks that are not what was written.

    It reads all of it, and takes its time; it ends early, finding nothing more, where
    `is_ending`.
    """
    bad: dict[int, str] = {}
    try:
        for chunk in chunks.every(connection):
            if is_ending():
                return [], bad
            try:
                chunk.require_whole()
            except ChunkDamaged as error:
                bad[chunk.id] = str(error)
        said = [
            str(line)
            for (line,) in connection.execute(f"PRAGMA integrity_check({MOST_COMPLAINTS})")
            if line != "ok"
        ]
        said += _nobodys(connection)
        for complaint in (*shapes.damaged(connection), *snapshots.damaged(connection)):
            if len(said) >= MOST_COMPLAINTS or is_ending():
                break
            said.append(complaint)
    except apsw.InterruptError:
        return [], bad
    except apsw.Error as error:
        said = [str(error)]
    return said, bad


def _nobodys(connection: apsw.Connection) -> list[str]:
    """What is there of hosts that are not."""
    found = connection.execute(
        "SELECT count(DISTINCT host) FROM chunks WHERE host NOT IN (SELECT id FROM hosts)"
    ).get
    return [f"{found} hosts have gone whose history is there"] if found else []
