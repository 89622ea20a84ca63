"""What `monitor rule` does: with the files of the configuration, the log and the store.

Everything but a drill works whether or not the server runs; a drill is the server's to send.
"""

from __future__ import annotations

import asyncio
import math
import secrets
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import msgspec

from monitor.access.audit import Actor, Audit
from monitor.alerting import drills, noise, ruletestfiles, ruletests
from monitor.alerting.backtesting import Backtest, backtest
from monitor.alerting.backtestwords import duration
from monitor.alerting.drafts import drafts
from monitor.care import files
from monitor.commands import alertwork, hostwork
from monitor.commands.alertwork import Desk
from monitor.commands.entry import inside_files, is_served
from monitor.commands.places import data_dir
from monitor.config import Settings
from monitor.core.messages import Alert as Said
from monitor.core.quantity import parse_seconds
from monitor.core.rules.explaining import rule_words
from monitor.core.rules.model import Rule
from monitor.core.selectors import Selector
from monitor.errors import InputError, StartError, excerpt
from monitor.model import EventType, RetentionClass
from monitor.notify.routing import Routing
from monitor.ports import EventLog, Registry, SeriesStore
from monitor.store import opening
from monitor.store.looking import Look

LONGEST_FILE_BYTES = 1 << 20

DRILL_SECONDS = 15.0
"""How long it is waited for channels to have told of a drill."""

LOOK_SECONDS = 0.2
"""How often it is looked whether they have."""

PAGE_EVENTS = 500

__all__ = ["backtested", "document", "drilled", "duration", "listing", "tested"]


@dataclass(frozen=True, slots=True)
class Listed:
    """A rule, how many of its alerts fire, and how noisy it was."""

    rule: Rule
    firing: int
    noise: noise.Noise | None = None

    @property
    def words(self) -> list[str]:
        """What it looks at."""
        return rule_words(self.rule)

    def noise_words(self) -> list[str]:
        """How noisy, as columns."""
        found = self.noise
        if found is None or not found.fires:
            return ["-", "-", "-", "-", "-"]
        return [
            f"{found.fires_a_week:.3g}",
            duration(found.median_seconds) if math.isfinite(found.median_seconds) else "-",
            f"{found.short_share:.0%}",
            f"{found.acknowledged_share:.0%}",
            "; ".join(each.sentence for each in found.suggestions) or "-",
        ]

    def document(self) -> dict[str, object]:
        """It for scripts."""
        rule = self.rule
        file, _, line = rule.origin.rpartition(":")
        has_line = bool(file) and line.isdecimal()
        said: dict[str, object] = {
            "name": rule.name,
            "severity": rule.severity.value,
            "file": file if has_line else rule.origin,
            "line": int(line) if has_line else None,
            "firing": self.firing,
            "condition": self.words,
            "default": rule.is_default,
            "toml": rule.text,
        }
        found = self.noise
        if found is not None:
            median = found.median_seconds
            said["noise"] = {
                "fires": found.fires,
                "fires_a_week": found.fires_a_week,
                "median_seconds": median if math.isfinite(median) else None,
                "short_share": found.short_share,
                "acknowledged_share": found.acknowledged_share,
                "suggestions": msgspec.to_builtins(found.suggestions),
            }
        return said


def listing(settings: Settings, *, with_noise: bool) -> list[Listed]:
    """Every rule that holds by the files, as they were written."""

    async def work(desk: Desk) -> list[Listed]:
        firing = Counter(each.rule for each in desk.book.open.values())
        told = await noise.report(desk.log, settings.rules, time.time()) if with_noise else None
        return [
            Listed(rule, firing[rule.name], told.of(rule.name) if told else None)
            for rule in settings.rules
        ]

    return alertwork.inside(settings, work)


def tested(settings: Settings, file: Path) -> tuple[list[str], bool]:
    """What came of a file's tests, in lines, and whether all was as it must be."""
    results = list(ruletests.run(ruletestfiles.read(_text(file), str(file)), settings.rules))
    return list(ruletests.lines(results)), all(each.is_passed for each in results)


def backtested(settings: Settings, file: Path, since: str, match: str | None) -> list[Backtest]:
    """What each rule of a file would have done, of hosts that a selector takes."""
    rules = drafts(_text(file), "FILE", f"{file}:")
    try:
        seconds = parse_seconds(since)
    except ValueError as error:
        raise InputError(f"--since: {error}", field="since") from None
    selector = Selector.parse(match) if match is not None else None
    folder = data_dir(settings)

    async def work(log: EventLog, registry: Registry, _: Actor) -> list[Backtest]:
        state, now = await hostwork.state(settings, log, registry), time.time()
        hosts = [
            host.name
            for host in state.hosts.values()
            if selector is None or selector.matches({**host.labels, "host": host.name})
        ]
        with files.looked_at(folder / opening.NAME) as connection:
            if connection is None:
                raise StartError(f"there is no history in {folder}")
            look = Look(connection, now)
            try:
                # It reads series and ranges, and a look has just these.
                store = cast("SeriesStore", look)
                return [
                    await backtest(store, state, rule, now - seconds, now, hosts) for rule in rules
                ]
            finally:
                look.close()

    return inside_files(folder, work)


def document(found: Backtest) -> dict[str, Any]:
    """What came of one for scripts, as the API says it."""
    return {
        "rule": found.rule.name,
        "resolution": found.resolution_seconds,
        "history": found.history_seconds,
        "judged": found.judged,
        "summary": found.summary,
        "count": found.count,
        "without_hysteresis": found.without_hysteresis,
        "firings": [
            {
                "host": each.host,
                "attributes": dict(each.attributes),
                "severity": each.severity.value,
                "start": each.start,
                "end": each.end,
                "peak": each.peak if math.isfinite(each.peak) else None,
            }
            for each in found.firings
        ],
        "left_out": [{"host": each.host, "reason": each.reason} for each in found.left_out],
    }


def drilled(settings: Settings, name: str, host: str, say: Callable[[str], object]) -> bool:
    """Have the running server send a drill, and say what became of it; whether one was told."""
    folder = data_dir(settings)

    async def work(log: EventLog, registry: Registry, actor: Actor) -> bool:
        if settings.rules.get(name) is None:
            raise InputError(f"there is no rule {excerpt(name)}", code="unknown_rule", field="rule")
        if host not in (await hostwork.state(settings, log, registry)).hosts:
            raise hostwork.unknown(host)
        if not is_served(folder):
            raise StartError("a drill is sent by the server, which does not run here")
        position = await log.last()
        key = f"{drills.WISHES}{secrets.token_hex(8)}"
        wish = drills.Wish(name, host, actor.name, time.time())
        await registry.create(key, msgspec.json.encode(wish))
        await Audit(log, time.time).record(actor, "rule.drill", name, host=host)
        try:
            return await _Watch(settings, log, wish, say).told(position)
        finally:
            await registry.delete(key)

    return inside_files(folder, work)


class _Watch:
    """Waits for what the log says of one drill."""

    def __init__(
        self, settings: Settings, log: EventLog, wish: drills.Wish, say: Callable[[str], object]
    ) -> None:
        self._log = log
        self._wish = wish
        self._say = say
        self._routing = Routing(settings.routes, settings.channels)
        self._drill: str | None = None
        self._waits: set[str] = set()
        self._told = False

    async def told(self, position: int) -> bool:
        """Say each channel's outcome as it comes; whether anybody was told."""
        until = time.monotonic() + DRILL_SECONDS
        while time.monotonic() < until:
            events, position, _ = await self._log.read(position, RetentionClass.ALERTS, PAGE_EVENTS)
            for event in events:
                if event.type is EventType.ALERT:
                    self._take_alert(event.data)
                elif event.type is EventType.NOTICE and event.data.get("kind") == "delivery":
                    self._take_delivery(event.data.get("details"))
            if self._drill is not None and not self._waits:
                return self._told
            await asyncio.sleep(LOOK_SECONDS)
        if self._drill is None:
            raise StartError(f"the server has not sent the drill within {DRILL_SECONDS:.0f} s")
        for channel in sorted(self._waits):
            self._say(f"{channel}: not told within {DRILL_SECONDS:.0f} s; it is tried again")
        return self._told

    def _take_alert(self, data: Any) -> None:
        wish = self._wish
        if self._drill is not None or not data.get("is_drill"):
            return
        if (data.get("rule"), data.get("host")) != (wish.rule, wish.host):
            return
        said = msgspec.convert(data, Said)
        self._drill = said.alert
        found = self._routing.assign(said)
        self._waits = set(found.channels) if found is not None else set()
        if not self._waits:
            self._say(f"nobody is told: {_why(said, has_route=found is not None)}")

    def _take_delivery(self, details: Any) -> None:
        if self._drill is None or not isinstance(details, dict):
            return
        channel = str(details.get("channel"))
        if channel not in self._waits or self._drill not in details.get("alerts", ()):
            return
        self._waits.discard(channel)
        if details.get("outcome") == "delivered":
            self._told = True
            self._say(f"{channel}: told")
        else:
            self._say(f"{channel}: not told: {details.get('reason') or 'it was given up'}")


def _why(said: Said, *, has_route: bool) -> str:
    if said.severity == "info":
        return "the rule is for information only"
    return "the route that takes it has no channel" if has_route else "no route takes it"


def _text(file: Path) -> str:
    """A file's text.  Raises `InputError` with a sentence."""
    try:
        with file.open("rb") as opened:
            content = opened.read(LONGEST_FILE_BYTES + 1)
        if len(content) > LONGEST_FILE_BYTES:
            raise InputError(f"{file} is larger than 1 MiB", field="FILE")
        return content.decode()
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}", field="FILE") from None
    except UnicodeDecodeError:
        raise InputError(f"{file} is not UTF-8", field="FILE") from None
