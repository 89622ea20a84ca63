"""A program that is asked by lines of JSON on its input, and answers with a line each.

So that a store is alone in its process, which is what its memory and its processor time are
counted of.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

END_SECONDS = 60.0
"""How long it may take to close its store."""

ROOT = Path(__file__).resolve().parent.parent.parent

Command = Callable[..., Awaitable[Any]]


async def answer(commands: Mapping[str, Command]) -> None:
    """Answer until the input ends.  A fault is an answer too."""
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        name, arguments = json.loads(line)
        try:
            said = {"answer": await commands[name](**arguments)}
        except Exception as error:  # noqa: BLE001 - who asked has to know, whatever it is
            said = {"fault": f"{type(error).__name__}: {error}"}
        print(json.dumps(said), flush=True)


class Called:
    """Such a program, seen from outside."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def call(self, name: str, **arguments: object) -> Any:
        """Have it do something.  Raises `RuntimeError` with the fault where it could not."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([name, arguments]) + "\n")
        self._process.stdin.flush()
        said = json.loads(self._process.stdout.readline() or '{"fault": "it ended"}')
        if "fault" in said:
            raise RuntimeError(said["fault"])
        return said["answer"]

    def close(self) -> None:
        """End its input, and wait for it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
