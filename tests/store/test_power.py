"""It must be that a power cut loses nothing that was acknowledged, and tears nothing.

One run that seals, compacts, rolls up, trims, packs tables and puts a damaged chunk aside is
recorded, from before the file is made; then for each seed the store is opened on a disk as a cut
at some instant of it may leave it, and held against the ledger of that instant.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from monitor.store import opening
from monitor.store.sqlite import SqliteStore
from tests.frames import frame
from tests.powercut import (
    Acknowledged,
    Recorder,
    Step,
    Write,
    after_the_cut,
    calls_recorded,
    made,
)
from tests.seeds import rounds
from tests.store.child import Feeding, hastened
from tests.store.truth import BASE, Ledger

SEEDS = 150
BATCHES = 48
"""32 hours: two blocks are rolled up, and rows of six hours are let go of."""


async def fed(folder: Path, recorder: Recorder, batches: int, *, careless: bool) -> None:
    """The run."""

    def acknowledged(host: str, number: int) -> None:
        recorder.steps.append(Acknowledged((host, number)))

    feeding = Feeding(folder, Ledger().batches, acknowledged)
    await feeding.begin()
    store = feeding.store
    if careless:
        store._connection.execute("PRAGMA synchronous = NORMAL")
    try:
        await damaged(store)
        for number in range(batches):
            await feeding.round()
            if number % 4 == 3:
                await store.settle()
                await feeding.look()
        recorder.steps.append(Acknowledged(None))
    finally:
        await store.close()
    assert store.keeper.compactions_total > batches / 2


async def damaged(store: SqliteStore) -> None:
    """A chunk of another host that is not what was written, for the keeper to put aside."""
    await store.append([frame(BASE + number, {"a": 1.0}, "bad") for number in range(10)])
    await store.settle()
    await store._writer.submit(
        lambda connection: connection.execute("UPDATE chunks SET data = zeroblob(100)").fetchall()
    )
    found = await store.range([("bad", "a")], BASE, BASE + 10, 10)
    assert found.losses


def recorded(folder: Path, batches: int, *, careless: bool = False) -> list[Step]:
    """What a run does to the disk, up to when it is asked to end."""
    folder.mkdir()
    recorder = Recorder()
    with hastened(), calls_recorded(recorder.steps), pytest.MonkeyPatch.context() as patch:
        # So that the write-ahead log is brought into the file, and begins anew, all the time.
        patch.setattr(opening, "WAL_PAGES", 25)
        try:
            asyncio.run(fed(folder, recorder, batches, careless=careless))
        finally:
            recorder.unregister()
    end = recorder.steps.index(Acknowledged(None))
    return recorder.steps[:end]


def advance(ledger: Ledger, steps: Sequence[Step]) -> None:
    """What was acknowledged in these steps."""
    for step in steps:
        if isinstance(step, Acknowledged):
            host, number = step.what
            ledger.truths[host].take(number)


def found(folder: Path, steps: list[Step], seeds: int) -> list[str]:
    """What is not as it must be after any of so many cuts, each with its seed."""
    cuts = sorted((random.Random(seed).randrange(len(steps) + 1), seed) for seed in range(seeds))
    ledger, at, said = Ledger(), 0, []
    for cut, seed in cuts:
        advance(ledger, steps[at:cut])
        at = cut
        shutil.rmtree(folder, ignore_errors=True)
        made(folder, after_the_cut({}, steps[:cut], random.Random(f"cut {seed}")))
        try:
            connection = opening.opened(folder)
        except Exception as error:  # noqa: BLE001 - said with its seed
            said.append(f"seed {seed}: {error!r}")
            continue
        with contextlib.closing(connection):
            said += [f"seed {seed}: {each}" for each in ledger.copied().faults(connection)]
    return said


@pytest.mark.timeout(0)
def test_nothing_that_was_acknowledged_is_lost(tmp_path: Path) -> None:
    steps = recorded(tmp_path / "run", BATCHES)
    assert sum(isinstance(step, Write) and step.name == opening.NAME for step in steps) > 100
    assert found(tmp_path / "cut", steps, rounds(SEEDS)) == []


def test_a_store_that_did_not_sync_its_commits_would_be_found_out(tmp_path: Path) -> None:
    """It must be that these cuts are hard enough to lose what was not made durable."""
    steps = recorded(tmp_path / "run", 6, careless=True)
    assert any(
        "missing" in each or "not there" in each for each in found(tmp_path / "cut", steps, 20)
    )
