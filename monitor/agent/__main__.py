"""``python -m monitor.agent``: the agent by itself, for hosts that have nothing but it.

Exit status: 0 ended when told to, 1 cannot start, 2 wrong usage, 78 wrong configuration.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import Sequence

from monitor.agent.arguments import parse
from monitor.agent.slim import use_one_arena
from monitor.errors import ConfigError, MonitorError

EXIT_CANNOT_START = 1
EXIT_BAD_CONFIG = 78


class _Line(logging.Formatter):
    """One line an entry: time, level and sentence, with nothing in it that could end a line."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        """The line; of an exception only its last words, since whoever reads is no developer."""
        record.exc_text = None
        if record.exc_info and record.exc_info[1] is not None:
            record = logging.makeLogRecord({**record.__dict__, "exc_info": None})
        return "".join(
            c if c.isprintable() else c.encode("unicode_escape").decode("ascii")
            for c in super().format(record)
        )


def speak() -> None:
    """Send the log to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Line())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("monitor.collect").setLevel(logging.WARNING)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the agent with these arguments; the exit status."""
    os.umask(0o077)
    found = parse(sys.argv[1:] if arguments is None else arguments)
    from monitor.agent.config import load  # noqa: PLC0415 - `--help` needs none of it

    try:
        settings = load(found.config, found.options)
        speak()
        if found.simulate is not None:
            # A fleet is another program.
            from monitor.agent import simulate  # noqa: PLC0415
            from monitor.agent.running import link_of  # noqa: PLC0415

            link = link_of(settings.agent)
            return simulate.run(link, found.simulate, found.faults, settings.collect.interval)
        from monitor.agent.running import run  # noqa: PLC0415

        use_one_arena()
        asyncio.run(run(settings))
    except ConfigError as error:
        for complaint in error.complaints:
            print(complaint, file=sys.stderr)  # noqa: T201 - what the operator asked for
        return EXIT_BAD_CONFIG
    except MonitorError as error:
        print(error.detail, file=sys.stderr)  # noqa: T201
        return EXIT_CANNOT_START
    return 0


if __name__ == "__main__":
    sys.exit(main())
