"""It must be that a power cut loses nothing that was acknowledged.

Killing a process proves nothing here: what it wrote is the kernel's and survives.  So a run's
writes and syncs are recorded, and for each seed a disk is made as it may be found after a cut
at some instant: what was synced is there, of what was not some is, some is not, some is torn.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path

from monitor.log import marker, opening
from monitor.log.database import Database
from tests.log.logs import event
from tests.powercut import (
    Acknowledged,
    Recorder,
    Step,
    Write,
    after_the_cut,
    calls_recorded,
    made,
)

SEEDS = 200
APPENDS = 60


def recorded(folder: Path, careless: bool) -> tuple[dict[str, bytes], list[Step], str]:
    """The disk before a run, what the run did to it, and the store's epoch."""
    Database.open(folder).close()
    before = {name: (folder / name).read_bytes() for name in (opening.NAME, marker.NAME)}
    recorder = Recorder()
    with calls_recorded(recorder.steps):
        steps, epoch = run(folder, recorder, careless)
    return before, steps, epoch


def run(folder: Path, recorder: Recorder, careless: bool) -> tuple[list[Step], str]:
    """Open the store and append to it; what that did to the disk, and the epoch."""
    held = Database.open(folder)
    recorder.unregister()
    if careless:
        held.connection.execute("PRAGMA synchronous = NORMAL")
    # So that the run also has checkpoints, and the write-ahead log begins anew.
    held.connection.wal_autocheckpoint(25)
    chance = random.Random(1)
    for _ in range(APPENDS):
        count = chance.randrange(1, 4)
        last = held.append([event("x", text="x" * chance.randrange(3_000))] * count)
        recorder.steps.append(Acknowledged(last))
    epoch = held.epoch
    steps = list(recorder.steps)
    held.close()
    return steps, epoch


def lost(folder: Path, disk: dict[str, bytes], acknowledged: int, epoch: str | None) -> int:
    """How many acknowledged events a store that is opened on this disk has lost."""
    shutil.rmtree(folder, ignore_errors=True)
    made(folder, disk)
    # It is this disk that was cut off: its marker is no copy.
    said = marker.parsed(disk[marker.NAME])
    assert said is not None
    marker.write(folder, said)
    with Database.open(folder) as held:
        assert epoch in {None, held.epoch}
        assert held.connection.pragma("integrity_check") == "ok"
        found = [row[0] for row in held.connection.execute("SELECT sequence FROM events")]
        assert found == list(range(1, len(found) + 1))
        return max(0, acknowledged - len(found))


def marked(content: bytes, highest: int) -> bytes:
    """A marker's content that names this position."""
    said = marker.parsed(content)
    assert said is not None
    return content[:-21] + b"%020d\n" % highest


def losses(tmp_path: Path, seeds: int, *, careless: bool) -> int:
    (tmp_path / "run").mkdir()
    before, steps, epoch = recorded(tmp_path / "run", careless)
    assert sum(isinstance(s, Write) and s.name == opening.NAME for s in steps) > 10
    total = 0
    for seed in range(seeds):
        chance = random.Random(seed)
        cut = steps[: chance.randrange(len(steps) + 1)]
        acknowledged = max((s.what for s in cut if isinstance(s, Acknowledged)), default=0)
        disk = after_the_cut(before, cut, chance)
        if not careless:
            # The marker may be on the disk as of any instant up to the cut.
            disk[marker.NAME] = marked(disk[marker.NAME], chance.randrange(acknowledged + 1))
        try:
            # What was acknowledged and lost is noticed, where the marker has it.
            same = None if careless else epoch
            total += lost(tmp_path / "cut", disk, acknowledged, same)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}") from error
    return total


def test_nothing_that_was_acknowledged_is_lost(tmp_path: Path) -> None:
    assert losses(tmp_path, SEEDS, careless=False) == 0


def test_a_log_that_did_not_sync_its_commits_would_be_found_out(tmp_path: Path) -> None:
    assert losses(tmp_path, 20, careless=True) > 0
