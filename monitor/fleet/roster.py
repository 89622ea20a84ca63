"""Who is known: the hosts' statuses over restarts, as a consumer of the log.

The roster's checkpoint holds every host with its status, and the position in the log up to
which that is true; what the log has after it is folded in at the start.  So a server that comes
back neither forgets a host nor says of one that it came for the first time.  Labels are no
events: each host's stand in the registry under a key of their own.
"""

from __future__ import annotations

import logging
import zlib

import msgspec

from monitor.core.state import LiveState
from monitor.model import Event, EventType, HostStatus
from monitor.ports import LONGEST_VALUE_BYTES, Conflict, EventLog, Gap, Registry, Unknown

CHECKPOINT = "hosts"

PAGE_EVENTS = 1_000
"""What one read of the log brings at the start."""

MOST_FOLDED = 100_000
"""Events that are folded in at the start, under a second's worth.  The checkpoint is never further
behind, unless it was lost; then a server that is soon back matters more than old hosts."""

MOST_UNCOMPRESSED_BYTES = 64 * 1024 * 1024
"""No roster of ours is larger; a value that says so was not written by us."""

ENVELOPE_BYTES = 1_024
"""What a checkpoint's own words may add to its state."""

logger = logging.getLogger("monitor.roster")


class Known(msgspec.Struct, frozen=True):
    """A host as the checkpoint has it; `since` and `at`, its newest frame's, are unix seconds."""

    status: HostStatus
    since: float
    at: float = 0.0


class Roster:
    """Keeps the checkpoint.  Only one process does: a stale one's save is refused."""

    def __init__(self, state: LiveState, log: EventLog, registry: Registry) -> None:
        self._state = state
        self._log = log
        self._registry = registry
        self._revision = 0
        self._position = 0
        self._is_stale = False
        self._kept: dict[str, Known] = {}

    async def restore(self, now: float) -> None:
        """Make every known host known again; its silence counts from `now`, unix seconds."""
        found = await self._registry.checkpoint(CHECKPOINT)
        self._revision = found.revision
        hosts = _decoded(found.state)
        position = found.positions.get("log", 0)
        last = await self._log.last()
        if last - position > MOST_FOLDED:
            logger.warning(
                "hosts that changed before position %d are forgotten", last - MOST_FOLDED
            )
            position = last - MOST_FOLDED
        while position < last:
            try:
                events, position, _ = await self._log.read(
                    position, frozenset({"fleet"}), PAGE_EVENTS
                )
            except Gap as gap:
                position = gap.floor if position < gap.floor else last
            else:
                for event in events:
                    _fold(hosts, event)
        for name, known in hosts.items():
            host = self._state.recall(name, {}, now)
            host.status, host.since, host.at = known.status, known.since, known.at
        self._kept, self._position = hosts, position

    async def keep(self, *, at_the_end: bool = False) -> None:
        """Write the checkpoint where hosts have changed, or where the log would wait for it.

        `Pipeline.judging` is to be held, so that the statuses are those that the log has.  At the
        end it is written in any case, since the newest frames change all the time.  Raises as
        the log and the registry do.
        """
        position = await self._log.last()
        statuses = {name: (known.status, known.since) for name, known in self._kept.items()}
        hosts = {
            host.name: Known(host.status, host.since, host.at)
            for host in self._state.hosts.values()
            if host.status is not None
        }
        changed = statuses != {name: (known.status, known.since) for name, known in hosts.items()}
        if self._is_stale or not (
            changed or at_the_end or position - self._position >= PAGE_EVENTS
        ):
            return
        state, hosts = _fitting(hosts)
        try:
            self._revision = await self._registry.save(
                CHECKPOINT, state, {"log": position}, self._revision
            )
        except Conflict:
            self._is_stale = True
            logger.error("the roster is kept by another process; this one keeps it no longer")  # noqa: TRY400 - it is no fault of the code
        except Unknown as error:
            logger.warning("the roster may not have been saved: %s", error)
            self._revision = (await self._registry.checkpoint(CHECKPOINT)).revision
        else:
            self._kept, self._position = hosts, position


def _fitting(hosts: dict[str, Known]) -> tuple[bytes, dict[str, Known]]:
    """The hosts as a checkpoint holds them; where not all fit, without the longest silent."""
    state = zlib.compress(msgspec.json.encode(hosts))
    while len(state) > LONGEST_VALUE_BYTES - ENVELOPE_BYTES:
        newest = sorted(hosts.items(), key=lambda item: item[1].at, reverse=True)
        logger.warning("%d hosts are more than is known over a restart", len(hosts))
        hosts = dict(newest[: len(newest) * 9 // 10])
        state = zlib.compress(msgspec.json.encode(hosts))
    return state, hosts


def _decoded(state: bytes) -> dict[str, Known]:
    """The hosts of a checkpoint; none where it cannot be read, and the log says what it can."""
    if not state:
        return {}
    try:
        plain = zlib.decompressobj().decompress(state, MOST_UNCOMPRESSED_BYTES)
        return msgspec.json.decode(plain, type=dict[str, Known])
    except (zlib.error, msgspec.MsgspecError) as error:
        logger.warning("the roster's checkpoint cannot be read: %s", error)
        return {}


def _fold(hosts: dict[str, Known], event: Event) -> None:
    """What an event says of a host."""
    name, status = event.data.get("host"), event.data.get("status")
    if event.type is not EventType.HOST_UPDATE or not isinstance(name, str):
        return
    known = hosts.get(name)
    hosts[name] = Known(HostStatus(str(status)), event.at, known.at if known else event.at)
