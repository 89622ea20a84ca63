"""A load in a process of its own: ``python -m bench.door.process``, and how it is begun.

The job is a line of JSON on standard input, a load's name and its arguments; what it saw is one
on standard output.  A load that should disturb nothing else than the server needs this.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Self

import uvloop

from bench.door import loads
from bench.stream.control import allow_many_descriptors
from tests.serving import ROOT

LOADS: dict[str, Callable[..., Coroutine[Any, Any, loads.Saw]]] = {
    each.__name__: each
    for each in (
        loads.senders,
        loads.asking,
        loads.flood,
        loads.connects,
        loads.loris,
        loads.deaf,
        loads.logins,
    )
}

END_SECONDS = 60.0
"""How long a load may take longer than it was told."""


class Load:
    """One that has begun, with the whole job; `saw` waits for its end."""

    def __init__(self, name: str, **arguments: object) -> None:
        self.name = name
        self._limit = float(str(arguments.get("seconds", 0))) + END_SECONDS
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.door.process"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([name, arguments], default=_plain) + "\n")
        self._process.stdin.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def saw(self) -> loads.Saw:
        """What it saw.  Raises `RuntimeError` where it did not come to an end."""
        try:
            said, _ = self._process.communicate(timeout=self._limit)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"the load {self.name} does not end") from None
        if not said:
            raise RuntimeError(f"the load {self.name} failed")
        found: loads.Saw = json.loads(said)
        return found


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else str(value)


def main() -> None:
    """Do the job."""
    allow_many_descriptors()
    gc.disable()  # a collection would be taken for a wait
    name, arguments = json.loads(sys.stdin.readline())
    print(json.dumps(uvloop.run(LOADS[name](**arguments))), flush=True)


if __name__ == "__main__":
    main()
