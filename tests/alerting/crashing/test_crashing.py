"""A judge that is killed anywhere: it must be that the log tells of each alert once, whole."""

from __future__ import annotations

import asyncio
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from monitor.log.sqlite import open_log
from monitor.model import EventType
from tests.alerting.crashing.child import ALL, HOSTS
from tests.notify.crashing.child import NEVER
from tests.notify.crashing.test_crashing import ROOT, Receiver, folders
from tests.outbound.servers import serving

__all__ = ["folders"]

POINTS = {
    "before registry.checkpoint",
    "before log.last",
    "before registry.keys",
    "before log.append",
    "after log.append",
    "before registry.save",
    "after registry.save",
}
"""Where it must have been killed at least once."""


class Forks:
    """The process that forks those that are killed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.steps: list[str] = []

    async def live(self, folder: Path, step: int, seed: int) -> str:
        """Judge until it is over, or killed: what was said last."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{folder} {step} {seed}\n".encode())
        said, self.steps = "", []
        async with asyncio.timeout(60):
            while (line := (await self._process.stdout.readline()).decode().strip()) != "over":
                assert line, "the process is gone"
                if line.startswith("step "):
                    self.steps.append(line.removeprefix("step "))
                if line.startswith(("killed", "finished")):
                    said = line
        assert said, "it failed by itself"
        return said


@pytest.fixture
async def both() -> AsyncIterator[tuple[Forks, Receiver]]:
    receiver = Receiver()
    async with serving(receiver.answer) as port:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.alerting.crashing.child",
            str(port),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            yield Forks(process), receiver
        finally:
            process.kill()
            await process.wait()


async def alerts(folder: Path) -> list[dict[str, Any]]:
    """What the log tells of alerts, read by somebody else."""
    log, registry = await open_log(folder)
    try:
        events, _, _ = await log.read(0, None, 1_000)
    finally:
        await log.close()
        await registry.close()
    return [dict(each.data) for each in events if each.type is EventType.ALERT]


def is_sound(told: list[dict[str, Any]], where: str) -> int:
    """Whether beginnings and ends alternate for each host, each alert's under one id; how many.

    A severity that changes is told once for each change.
    """
    open_: dict[str, dict[str, Any]] = {}
    ids: set[str] = set()
    for said in told:
        before = open_.pop(said["host"], None)
        if before is None:
            assert said["state"] == "firing", f"{where}: {said['host']} ends twice"
            assert said["alert"] not in ids, f"{where}: an id fires twice"
            assert said["was"] != "firing", where
            ids.add(said["alert"])
        else:
            assert said["alert"] == before["alert"], f"{where}: {said['host']} fires twice"
            if said["state"] == "firing":
                assert said["severity"] != before["severity"], f"{where}: told again"
        if said["state"] == "firing":
            open_[said["host"]] = said
    assert not open_, f"{where}: everything was low in the end"
    return len(ids)


def is_told(told: list[dict[str, Any]], got: list[dict[str, Any]], crashes: int) -> None:
    """Whether the receiver was told of ends too, and at most once more for each crash.

    What began and ended before anybody could be told may be told to nobody.
    """
    contents = {body["key"]: body for body in got}
    assert len(got) - len(contents) <= crashes
    facts = Counter(
        (alert, state) for body in contents.values() for alert, state, _ in body["told"]
    )
    known = {said["alert"] for said in told}
    assert {alert for alert, _ in facts} <= known
    ended = {alert for alert, state in facts if state == "ended"}
    fires = {alert for alert, state in facts if state == "fires"}
    assert fires <= ended, "whoever was told of a beginning is told of its end"
    assert facts
    assert all(count <= 1 + crashes for fact, count in facts.items() if fact[1] == "ended")


async def test_killed_at_each_kind_of_step(both: tuple[Forks, Receiver], folders: Path) -> None:
    forks, receiver = both
    seed = 5
    await forks.live(folders, ALL, seed)
    places: dict[str, list[int]] = {}
    for number, name in enumerate(forks.steps, 1):
        places.setdefault(name, []).append(number)
    assert places.keys() >= POINTS
    for name, steps in places.items():
        step = steps[len(steps) // 2]
        folder = folders / f"s{step}"
        folder.mkdir()
        assert await forks.live(folder, step, seed) == f"killed {name}"
        assert (await forks.live(folder, NEVER, seed + 1)).startswith("finished")
        told = await alerts(folder)
        assert is_sound(told, f"step {step}, {name}") > 0
        is_told(told, receiver.got[folder.name], 1)


async def test_killed_again_and_again(both: tuple[Forks, Receiver], folders: Path) -> None:
    forks, receiver = both
    chance = random.Random(3)
    crashes = 0
    for seed in range(6):
        step = chance.randrange(3, 24)
        crashes += (await forks.live(folders, step, seed)).startswith("killed")
    await forks.live(folders, NEVER, 99)
    assert crashes >= 4
    told = await alerts(folders)
    assert is_sound(told, "again and again") > 1
    assert {said["host"] for said in told} == set(HOSTS)
    is_told(told, receiver.got[folders.name], crashes)
