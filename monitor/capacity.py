"""How much there is to keep, and how long it lasts: what `monitor config check` tells of stores.

It knows the same concrete classes as `bootstrap`, without the server around them.  The store's
file is only read, whether or not a server runs.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import apsw

from monitor.care import files
from monitor.collect import subjects
from monitor.collect.runner import Runner
from monitor.config import Settings
from monitor.core.quantity import format_about, format_about_bytes, format_seconds
from monitor.model import Frame, Snapshot
from monitor.store import opening
from monitor.store.config import TIERS
from monitor.store.lasting import Figures, estimated, figures, lasting, measured

DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Fleet:
    """What is there to be kept: hosts and their series, and what a store says of them."""

    hosts: int
    series: int
    interval_seconds: float
    found: Figures | None


async def history_lasts(settings: Settings, folder: Path) -> list[str]:
    """How long each tier of history lasts for the present fleet, as comments under a config."""
    fleet = await present_fleet(settings, folder)
    rates = estimated(fleet.hosts, fleet.series, fleet.interval_seconds)
    basis = "by an estimate"
    if fleet.found is not None:
        gathered = measured(fleet.found, rates)
        if gathered[0] != rates[0]:
            span = fleet.found.lasts[0] - fleet.found.firsts[0]
            basis = f"by what {opening.NAME} gathered in {format_about(span)} of raw rows"
        rates = gathered
    hosts = "1 host" if fleet.hosts == 1 else f"{fleet.hosts} hosts"
    pace = format_seconds(fleet.interval_seconds)
    lines = [f"# History of {hosts} with {fleet.series} series every {pace}, {basis}:"]
    size = format_about_bytes(settings.retention.size)
    names = (*TIERS, "process tables")
    ages = (*settings.retention.ages, settings.retention.raw)
    lasts = lasting(rates, settings.retention)
    for name, age, rate, each in zip(names, ages, rates, lasts, strict=True):
        how_long = f"{format_seconds(age)}, by age"
        if each.by_size:
            how_long = (
                f"{format_about(each.seconds)}, by size: its part of {size} is full before"
                f" {format_seconds(age)}"
            )
        all_of_it, day = format_about_bytes(rate * each.seconds), format_about_bytes(rate * DAY)
        lines.append(f"#   {name} for {how_long}; {all_of_it}, {day} a day")
    return lines


async def present_fleet(settings: Settings, folder: Path) -> Fleet:
    """The hosts and series of the store in a data directory, or this host where it has none."""
    found = _stored(folder)
    interval = settings.collect.interval
    if found is not None and found.series:
        return Fleet(found.hosts, found.series, interval, found)
    return Fleet(1, await _own_series(settings), interval, found)


def _stored(folder: Path) -> Figures | None:
    """What the store says; none where there is none, or none that can be read."""
    try:
        with files.looked_at(folder / opening.NAME) as seen:
            return figures(seen) if seen is not None else None
    except (apsw.Error, ValueError):
        return None  # what is wrong with it is for `monitor doctor`


async def _own_series(settings: Settings) -> int:
    """How many series this host has.

    The collectors are run once to count; one that hangs is left behind.
    """
    frames: list[Frame] = []

    async def keep(frame: Frame, snapshots: list[Snapshot]) -> None:
        del snapshots
        frames.append(frame)

    interval = settings.collect.interval
    runner = Runner(subjects.build(settings.collect), settings.host.name, interval, keep)
    try:
        await runner.tick(time.time())
    finally:
        runner.close()
    return sum(len(frame.values) for frame in frames)
