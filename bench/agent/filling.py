"""``python -m bench.agent.filling FOLDER SECONDS SERIES``: a spool as an agent leaves it.

It holds a frame of each second up to a moment ago, written as the agent writes them.
"""

from __future__ import annotations

import json
import math
import sys
import time
from array import array
from pathlib import Path

import numpy as np

from bench.ingest import hosts
from monitor.agent.config import AgentConfig
from monitor.agent.spoolfile import Bounds, Kept, SpoolFile
from monitor.model import Schema

FRAMES_AT_ONCE = 600
PHASE_SECONDS = 0.3
"""Within its second, so that a bucket of a second holds one frame."""

ENDED_SECONDS = 5.0
"""How long ago the last frame was."""


def main() -> None:
    """Fill, and say what there is: frames, bytes, the first instant and the last."""
    folder, seconds, series = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    texts = hosts.keys(series)
    schema, values = Schema(texts), hosts.Values(1, texts)
    first = math.floor(time.time() - ENDED_SECONDS) - seconds + PHASE_SECONDS
    only = np.zeros(1, np.intp)
    # What an agent bounds it by, but for the age, which would pass while this is written.
    spool = SpoolFile(folder, Bounds(AgentConfig().spool_size, 2.0 * seconds + 3_600))
    for start in range(0, seconds, FRAMES_AT_ONCE):
        spool.write(
            [
                Kept(number + 1, first + number, schema, array("d", values.next(only)[0].tobytes()))
                for number in range(start, min(seconds, start + FRAMES_AT_ONCE))
            ]
        )
    told = {
        "frames": spool.count(),
        "bytes": spool.size_bytes(),
        "first": first,
        "dropped": spool.dropped,
    }
    spool.close()
    print(json.dumps(told))


if __name__ == "__main__":
    main()
