"""A peer's own network: a namespace that a cable leads to, which can be cut and mended."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest


class Elsewhere:
    """A network namespace that a cable leads to, which can be cut."""

    def __init__(self) -> None:
        self.name = f"mon{os.getpid()}"
        self.here, self.there = f"{self.name}a", f"{self.name}b"
        number = os.getpid() % 250 + 1
        self.address, self.peer = f"10.213.{number}.1", f"10.213.{number}.2"

    def make(self) -> None:
        """Lay the cable.  Raises `CalledProcessError` where one may not."""
        ip("netns", "add", self.name)
        ip("link", "add", self.here, "type", "veth", "peer", "name", self.there)
        ip("link", "set", self.there, "netns", self.name)
        ip("addr", "add", f"{self.address}/30", "dev", self.here)
        ip("link", "set", self.here, "up")
        ip("-n", self.name, "addr", "add", f"{self.peer}/30", "dev", self.there)
        ip("-n", self.name, "link", "set", self.there, "up")

    def cut(self) -> None:
        """Let nothing through any more; neither side is told."""
        ip("-n", self.name, "link", "set", self.there, "down")

    def mend(self) -> None:
        """Let everything through again."""
        ip("-n", self.name, "link", "set", self.there, "up")

    def line(self, *command: str) -> list[str]:
        """What runs a command there."""
        return ["ip", "netns", "exec", self.name, *command]

    def remove(self) -> None:
        """Take it away with its cable."""
        for line in (("link", "del", self.here), ("netns", "del", self.name)):
            subprocess.run(["ip", *line], check=False, capture_output=True)


def ip(*arguments: str) -> None:
    """Run ``ip``.  Raises `CalledProcessError` where it could not."""
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=10)


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    """A peer's network; the test is skipped where it cannot be made, with the reason."""
    made = Elsewhere()
    try:
        made.make()
    except (OSError, subprocess.SubprocessError) as error:
        made.remove()
        pytest.skip(f"a network namespace cannot be made here: {error}")
    yield made
    made.remove()
