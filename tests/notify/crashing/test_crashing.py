"""A notifier that is killed anywhere: it must be that everybody is told, and hardly twice."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.notify.crashing.child import NEVER
from tests.outbound.servers import serving

ROOT = Path(__file__).parents[3]

POINTS = {
    "before log.read",
    "before registry.save",
    "after registry.save",
    "before the delivery",
    "once it is sent",
    "once it has arrived",
    "before log.append",
    "after log.append",
}
"""Where it must have been killed at least once."""

FACTS = {("a1", "fires"), ("b1", "fires"), ("a1", "ended")}


class Receiver:
    """Keeps what came, by the folder of who told it."""

    def __init__(self) -> None:
        self.got: dict[str, list[dict[str, Any]]] = {}

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One line there, one line back."""
        if line := await reader.readline():
            body = json.loads(line)
            self.got.setdefault(body["folder"], []).append(body)
            writer.write(b"ok\n")
            await writer.drain()


class Teller:
    """The process that forks those that are killed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def play(self, folder: Path, step: int) -> str:
        """Play the story until it is over, or killed: what was said last."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{folder} {step}\n".encode())
        said = ""
        async with asyncio.timeout(60):
            while (line := (await self._process.stdout.readline()).decode().strip()) != "over":
                assert line, "the process is gone"
                if line.startswith(("killed", "finished")):
                    said = line
        return said


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[Path]:
    """Where the logs are: in memory, as a process that is killed leaves what it has written."""
    memory = Path("/dev/shm")
    where = memory if os.access(memory, os.W_OK) else tmp_path
    with tempfile.TemporaryDirectory(dir=where) as made:
        yield Path(made)


@pytest.fixture
async def both() -> AsyncIterator[tuple[Teller, Receiver]]:
    receiver = Receiver()
    async with serving(receiver.answer) as port:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.notify.crashing.child",
            str(port),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            yield Teller(process), receiver
        finally:
            process.kill()
            await process.wait()


def judge(got: list[dict[str, Any]], crashes: int, where: str) -> None:
    """Everything was told, at most once more for each crash, under one key with one content."""
    contents: dict[str, Any] = {}
    for body in got:
        assert contents.setdefault(body["key"], body) == body, where
    facts = Counter(
        (alert, state) for body in contents.values() for alert, state, _ in body["told"]
    )
    assert facts == Counter(FACTS), where
    assert len(got) - len(contents) <= crashes, where


async def test_killed_at_any_step_everybody_is_told_and_at_most_once_more(
    both: tuple[Teller, Receiver], folders: Path
) -> None:
    teller, receiver = both
    places: set[str] = set()
    extras = 0
    step = 0
    while True:
        step += 1
        folder = folders / f"s{step}"
        folder.mkdir()
        said = await teller.play(folder, step)
        if said.startswith("finished"):
            break
        assert said.startswith("killed "), f"step {step}: it failed by itself"
        places.add(said.removeprefix("killed "))
        assert (await teller.play(folder, NEVER)).startswith("finished"), said
        got = receiver.got[folder.name]
        judge(got, 1, f"step {step}, {said}")
        extras += len(got) - len({body["key"] for body in got})
    judge(receiver.got[folder.name], 0, "without a crash")
    assert places >= POINTS
    assert extras > 0, "some kills come after the arrival, and cost a repeat"


async def test_killed_again_and_again_it_gets_there(
    both: tuple[Teller, Receiver], folders: Path
) -> None:
    teller, receiver = both
    crashes = 0
    for step in (*range(4, 40, 3), NEVER):
        said = await teller.play(folders, step)
        if said.startswith("finished"):
            break
        crashes += 1
    assert crashes >= 5
    judge(receiver.got[folders.name], crashes, "again and again")
