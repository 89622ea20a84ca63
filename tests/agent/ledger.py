"""An agent that writes down the instant of every frame once it is kept: run as a process.

python -m tests.agent.ledger FILE [arguments of monitor agent]
"""

from __future__ import annotations

import os
import sys

from monitor.agent.__main__ import main
from monitor.agent.spool import Spool
from monitor.agent.spoolfile import Kept


def run() -> None:
    """Be that agent."""
    ledger = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    keep = Spool.keep

    async def written(self: Spool, frame: Kept) -> None:
        await keep(self, frame)
        os.write(ledger, f"{frame.at!r}\n".encode())

    Spool.keep = written  # type: ignore[method-assign]
    sys.argv = ["monitor-agent", *sys.argv[2:]]
    main()


if __name__ == "__main__":
    run()
