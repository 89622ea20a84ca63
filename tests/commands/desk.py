"""A data directory in which tests run commands, without a server."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from array import array
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from click.testing import CliRunner, Result

from monitor.__main__ import main
from monitor.core.messages import HostUpdate, Message, Notice, event
from monitor.log.sqlite import open_log
from monitor.model import EventType, Frame, HostStatus, Schema
from monitor.ports import EventLog, Registry
from monitor.store.sqlite import open_store
from tests.notify.alerts import said

_Result = TypeVar("_Result")


class Desk:
    """The directory, and what a test does in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.data.mkdir(mode=0o700)

    def run(self, *arguments: str, given: str | None = None) -> Result:
        """A command, in this process."""
        return CliRunner().invoke(main, [*arguments, "--data", str(self.data)], input=given)

    def done(self, *arguments: str, given: str | None = None) -> str:
        """The same, and it went well: what it printed."""
        result = self.run(*arguments, given=given)
        assert result.exit_code == 0, result.output
        return result.stdout

    def listed(self, *arguments: str) -> list[dict[str, Any]]:
        """What a command lists for scripts."""
        found: list[dict[str, Any]] = json.loads(self.done(*arguments, "--json"))
        return found

    def refused(self, *arguments: str, given: str | None = None) -> str:
        """Why a command did not do it: one line, and no traceback."""
        result = self.run(*arguments, given=given)
        assert result.exit_code in {1, 2, 78}, result.output
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result.stderr

    def inside(self, work: Callable[[EventLog, Registry], Awaitable[_Result]]) -> _Result:
        """Do something with the log and the registry, as a server would."""

        async def within() -> _Result:
            log, registry = await open_log(self.data)
            try:
                return await work(log, registry)
            finally:
                await log.close()
                await registry.close()

        return asyncio.run(within())

    def say(self, *messages: Message) -> None:
        """Have these in the log."""

        async def work(log: EventLog, _: Registry) -> None:
            made = [event(each, time.time(), secrets.token_hex(8)) for each in messages]
            await log.append(made)

        self.inside(work)

    def fire(self, *ids: str, **more: Any) -> None:
        """Alerts that fire, each of the host that is called web- and its id."""
        self.say(*(said(each, f"web-{each}", **more) for each in ids))

    def know(self, *hosts: str, status: HostStatus = HostStatus.UP) -> None:
        """Hosts of the fleet."""
        self.say(*(HostUpdate(host=each, status=status, was=None, reason="new") for each in hosts))

    def told(self, channel: str, *alerts: str, outcome: str = "delivered") -> None:
        """A channel told of alerts."""
        details = {"channel": channel, "alerts": list(alerts), "outcome": outcome, "reason": ""}
        self.say(Notice(kind="delivery", text="told", details=details))

    def notices(self, kind: str) -> list[dict[str, Any]]:
        """The details of all notices of a kind."""

        async def work(log: EventLog, registry: Registry) -> list[dict[str, Any]]:
            del registry
            events, _, _ = await log.read(0, None, 1_000)
            return [
                dict(each.data["details"])  # type: ignore[call-overload]
                for each in events
                if each.type is EventType.NOTICE and each.data["kind"] == kind
            ]

        return self.inside(work)

    def past(self, host: str, key: str, values: Sequence[float], every: float = 60.0) -> None:
        """What a host sent, up to a moment ago."""
        schema, now = Schema((key,)), time.time()

        async def work() -> None:
            store = await open_store(self.data)
            first = now - len(values) * every
            frames = [
                Frame(host, first + place * every, schema, array("d", [value]))
                for place, value in enumerate(values)
            ]
            await store.append(frames)
            await store.close()

        asyncio.run(work())
