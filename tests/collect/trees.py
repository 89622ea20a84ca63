"""Trees of kernel files for the collectors' tests: golden ones, and what a test plants itself."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from monitor.collect.files import Root
from monitor.model import SeriesKey

FIXTURES = Path(__file__).parent / "fixtures"


def golden(into: Path, name: str = "server") -> Root:
    """A copy of the golden tree `name`, to be read and changed."""
    shutil.copytree(FIXTURES / name, into, dirs_exist_ok=True)
    return Root(into)


def plant(into: Path, files: Mapping[str, str | bytes]) -> Root:
    """A tree of these files, over whatever is there: path to content."""
    for name, content in files.items():
        path = into / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return Root(into)


def own() -> Root:
    """The machine that the tests run on."""
    return Root(Path("/"))


def assert_keys_hold(values: dict[str, float]) -> None:
    """Every KEY reads back as itself, is of bounded length and has no control characters."""
    for text, value in values.items():
        assert str(SeriesKey.parse(text)) == text
        assert len(text) < 700
        assert not any(ord(letter) < 32 or ord(letter) == 127 for letter in text)
        assert isinstance(value, float)


class Clock:
    """A monotonic clock that a test winds."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now
