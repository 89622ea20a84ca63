"""What keeps the agent's process small where a library would bring more than is used."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
import types
from collections.abc import Iterator

_M_ARENA_MAX = -8
"""The option of glibc's mallopt(3) that says how many arenas there may be."""

_METADATA = "importlib.metadata"


@contextlib.contextmanager
def without_metadata() -> Iterator[None]:
    """Import something that imports `importlib.metadata` and does not use it.

    `websockets` does so to find its version in a checkout of its own; with the parsers of mail
    and archives that come along, it would be 2.4 MB of the agent's 30.
    """
    if _METADATA in sys.modules:
        yield
        return
    sys.modules[_METADATA] = types.ModuleType(_METADATA)
    try:
        yield
    finally:
        del sys.modules[_METADATA]


def use_one_arena() -> None:
    """Let all threads share one heap: each other one would keep what its thread has freed."""
    _libc("mallopt", _M_ARENA_MAX, 1)


def give_back() -> None:
    """Give freed memory back to the system: what starting up took is not needed again."""
    gc.collect()
    # What has been made by now stays: it is left out of every later search for garbage.
    gc.freeze()
    _libc("malloc_trim", 0)


def _libc(name: str, *arguments: int) -> None:
    """Call a function of glibc, where there is one."""
    with contextlib.suppress(OSError, AttributeError):
        getattr(ctypes.CDLL(None), name)(*arguments)
