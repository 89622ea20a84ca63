"""It must be that memory and SQLite say the same, whatever is done to both."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.errors import MonitorError
from monitor.model import Event, EventType, RetentionClass
from monitor.ports import Conflict, EventLog, Gap, Registry
from tests.log.logs import opened

TOPICS = ("fleet", "alerts", "host:a", "host:b", "terminal:t", "approvals", "odd\0\u2028'\"")
TYPES = (
    EventType.ALERT,
    EventType.HOST_UPDATE,
    EventType.APPROVAL,
    EventType.NOTICE,
    EventType.TERMINAL_ERROR,
)
SCOPES = st.sampled_from([None, "judge", "notifier"])
POSITIONS = st.integers(min_value=-1, max_value=20)

event = st.builds(
    Event,
    st.sampled_from(TYPES),
    st.lists(st.sampled_from(TOPICS), max_size=3).map(tuple),
    st.dictionaries(
        st.sampled_from(["kind", "text", "timestamp"]),
        st.one_of(st.text(max_size=5), st.floats(), st.sampled_from(["ack", "audit", None])),
        max_size=2,
    ),
    st.integers(min_value=0, max_value=9).map(float),
    st.text(min_size=1, max_size=3),
)
step = st.one_of(
    st.tuples(
        st.just("append"),
        st.lists(event, min_size=1, max_size=4),
        SCOPES,
        st.one_of(st.none(), POSITIONS),
    ),
    st.tuples(
        st.just("read"),
        POSITIONS,
        st.one_of(st.none(), st.frozensets(st.sampled_from([*TOPICS, "log"]), max_size=3)),
        st.integers(min_value=1, max_value=6),
    ),
    st.tuples(
        st.just("trim"),
        st.sampled_from(RetentionClass),
        st.integers(min_value=0, max_value=9).map(float),
        st.one_of(st.none(), st.integers(min_value=0, max_value=2_000)),
    ),
    st.tuples(st.just("erase"), st.sampled_from(TOPICS)),
    st.tuples(st.just("last"), SCOPES),
    st.tuples(st.just("put"), st.sampled_from("abc"), st.binary(max_size=3)),
    st.tuples(st.just("update"), st.sampled_from("abc"), st.binary(max_size=3), POSITIONS),
    st.tuples(st.just("create"), st.sampled_from("abc"), st.binary(max_size=3)),
    st.tuples(st.just("delete"), st.sampled_from("abc"), st.one_of(st.none(), POSITIONS)),
    st.tuples(st.just("keys"), st.sampled_from(["", "a", "checkpoint/"])),
    st.tuples(
        st.just("save"),
        st.sampled_from("xy"),
        st.binary(max_size=3),
        st.dictionaries(st.sampled_from(["log", "other"]), POSITIONS, max_size=2),
        POSITIONS,
    ),
    st.tuples(st.just("checkpoint"), st.sampled_from("xy")),
    st.tuples(st.just("lease"), st.just("judge"), st.sampled_from("hj"), st.sampled_from([0, 9])),
)


async def outcome(call: Awaitable[object]) -> object:
    """What came of a call: a value, or an error with all that it says."""
    try:
        return await call
    except Conflict as error:
        return "conflict", error.last
    except Gap as error:
        return "gap", error.floor
    except MonitorError as error:
        return "refused", error.code, error.field


OF_THE_LOG = {"append", "read", "trim", "erase", "last"}


async def history(kind: str, steps: list[tuple[object, ...]]) -> list[object]:
    with tempfile.TemporaryDirectory() as folder:
        async with opened(kind, Path(folder)) as (log, registry):
            said: list[object] = []
            for name, *arguments in steps:
                target: EventLog | Registry = log if name in OF_THE_LOG else registry
                said.append(await outcome(getattr(target, str(name))(*arguments)))
            for topics in (None, *(frozenset({topic}) for topic in TOPICS)):
                _, searched, floor = await log.read(await log.last(), topics, 1)
                said.append((searched, floor, await outcome(log.read(floor, topics, 1_000))))
            said.extend([await registry.get(key) for key in await registry.keys("")])
            return said


@settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(st.lists(step, min_size=1, max_size=25))
def test_memory_and_sqlite_agree(steps: list[tuple[object, ...]]) -> None:
    assert asyncio.run(history("memory", steps)) == asyncio.run(history("sqlite", steps))
