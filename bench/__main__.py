"""``make bench``: run the measurements named on the command line, or all of them."""

from __future__ import annotations

import sys
from collections.abc import Callable

from bench import collect, log, server
from bench.agent import run as agent
from bench.alerts import run as alerts
from bench.door import run as door
from bench.ingest import run as ingest
from bench.store import run as store
from bench.stream import run as stream

BENCHES: dict[str, Callable[[], None]] = {
    "agent": agent.main,
    "alerts": alerts.main,
    "collect": collect.main,
    "door": door.main,
    "ingest": ingest.main,
    "log": log.main,
    "server": server.main,
    "store": store.main,
    "stream": stream.main,
}

QUICK = "--quick"
"""An option that a bench may look for: less of everything."""


def main() -> int:
    """Run each bench; the exit status."""
    names = [name for name in sys.argv[1:] if name != QUICK] or list(BENCHES)
    for name in names:
        if name not in BENCHES:
            print(f"there is no bench {name}; there are {', '.join(BENCHES)}", file=sys.stderr)
            return 2
    for name in names:
        BENCHES[name]()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
