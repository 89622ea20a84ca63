"""The audit trail: who did what to which object, from where, and what came of it.

Each entry is an event of the log, a ``notice`` of kind ``audit``, so that it lies beside what
happened to hosts and alerts, is kept as long as the log keeps its class, and can be read while it
is written.  It holds names and ids, never a secret.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from monitor.core.messages import Notice, event
from monitor.errors import MonitorError, excerpt
from monitor.ports import EventLog, Unknown

logger = logging.getLogger("monitor.access")


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something, and from where: an address, or ``command line``."""

    name: str
    address: str = ""


class Audit:
    """Writes the trail."""

    def __init__(self, log: EventLog, clock: Callable[[], float]) -> None:
        self._log = log
        self._clock = clock
        self.recorded = 0
        """How much was done, as far as this object was told."""

    async def record(
        self, actor: Actor, action: str, target: str, outcome: str = "done", **more: object
    ) -> None:
        """Write what was done, or refused, to which object.

        What has happened has happened: where the log cannot be written, the program's own log
        gets it.
        """
        self.recorded += 1
        where = f" from {actor.address}" if actor.address else ""
        text = f"{actor.name}{where}: {action} {target}: {outcome}"
        details = {
            "actor": actor.name,
            "address": actor.address,
            "action": action,
            "target": target,
            "outcome": outcome,
            **more,
        }
        notice = Notice(kind="audit", text=text, details=details)
        try:
            await self._log.append([event(notice, self._clock(), secrets.token_hex(8))])
        except (MonitorError, Unknown) as error:
            logger.error("not written to the audit trail: %s (%s)", excerpt(text), error)  # noqa: TRY400
