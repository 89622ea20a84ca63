"""What `monitor host` does with the files: reading the fleet, and having a host leave it.

Beside a running server it leaves word for it in the registry, where the server finds it; without
one it takes the server's place for the moment, lock and all.  It is imported where it is used, as
the rooms that it knows take longer to import than `monitor --help` may take.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from pathlib import Path

import msgspec

from monitor import bootstrap
from monitor.access.audit import Actor, Audit
from monitor.commands.entry import inside_files, is_served
from monitor.commands.places import data_dir
from monitor.config import Settings
from monitor.core.state import HostState, LiveState
from monitor.errors import InputError, StartError, excerpt
from monitor.fleet.fleet import WISHES, Fleet, Wish
from monitor.fleet.roster import Roster
from monitor.ingest.senders import Senders
from monitor.pipeline import Pipeline
from monitor.ports import EventLog, Registry, SeriesStore
from monitor.store.memory import MemoryStore
from monitor.store.sqlite import open_store

GRANTED_SECONDS = 5.0
"""How long a running server may take to do what is wanted; a long history takes the longest."""

LOOK_SECONDS = 0.1
"""How often it is looked for whether it has."""

Known = list[tuple[HostState, str | None]]
"""Hosts by name, each with its agent's id."""


def read(settings: Settings) -> Known:
    """Every host; beside a running server, as it keeps them."""
    return inside_files(
        data_dir(settings), lambda log, registry, _: _known(settings, log, registry)
    )


def do(settings: Settings, verb: str, name: str) -> None:
    """Retire, adopt or delete a host.  Raises a `MonitorError` where that cannot be."""
    if name == settings.host.name:
        detail = f"{excerpt(name)} is the host that the server runs on"
        raise InputError(detail, code="own_host", field="host", status=409)

    async def work(log: EventLog, registry: Registry, actor: Actor) -> None:
        if name not in {each.name for each, _ in await _known(settings, log, registry)}:
            raise unknown(name)
        folder = data_dir(settings)
        if is_served(folder):
            await _wish(registry, verb, name, actor)
        else:
            with bootstrap.locked(folder):
                await _directly(settings, folder, log, registry, verb, name, actor)
        await Audit(log, time.time).record(actor, f"host.{verb}", name)

    inside_files(data_dir(settings), work)


def unknown(name: str) -> InputError:
    """There is no such host."""
    return InputError(f"there is no host {excerpt(name)}", code="unknown_host", field="host")


async def state(settings: Settings, log: EventLog, registry: Registry) -> LiveState:
    """Every host as it is kept, with its labels and without its values."""
    return (await _kept(settings, log, registry))[0]


async def _kept(settings: Settings, log: EventLog, registry: Registry) -> tuple[LiveState, Fleet]:
    state = LiveState()
    await Roster(state, log, registry).restore(time.time())
    fleet = _fleet(settings, state, log, registry, MemoryStore())
    await fleet.load()
    return state, fleet


async def _known(settings: Settings, log: EventLog, registry: Registry) -> Known:
    state, fleet = await _kept(settings, log, registry)
    hosts = sorted(state.hosts.values(), key=lambda each: each.name)
    return [(each, fleet.agent_of(each.name)) for each in hosts]


async def _wish(registry: Registry, verb: str, name: str, actor: Actor) -> None:
    """Leave word for the running server, and wait until it has been heard."""
    key = f"{WISHES}{name}"
    await registry.put(key, msgspec.json.encode(Wish(verb, actor.name, time.time())))
    until = time.monotonic() + GRANTED_SECONDS
    while await registry.get(key) is not None:
        if time.monotonic() > until:
            seconds = f"{GRANTED_SECONDS:.0f} s"
            detail = f"the server has not done it within {seconds}; it does when it comes to it"
            raise StartError(detail)
        await asyncio.sleep(LOOK_SECONDS)


async def _directly(
    settings: Settings,
    folder: Path,
    log: EventLog,
    registry: Registry,
    verb: str,
    name: str,
    actor: Actor,
) -> None:
    """Do it here, in the place of the server that does not run."""
    state = LiveState()
    roster = Roster(state, log, registry)
    await roster.restore(time.time())
    store = await open_store(folder, settings.retention)
    try:
        fleet = _fleet(settings, state, log, registry, store)
        await fleet.load()
        fleet.forgetting.append(Senders(time.time, registry).forget)
        fleet.erasing.append(partial(roster.keep, at_the_end=True))
        match verb:
            case "retire":
                await fleet.retire(name, actor.name)
            case "adopt":
                await fleet.adopt(name)
            case _:
                await fleet.delete(name)
        await roster.keep(at_the_end=True)
    finally:
        await store.close()


def _fleet(
    settings: Settings, state: LiveState, log: EventLog, registry: Registry, store: SeriesStore
) -> Fleet:
    """The fleet as a server would have it, without senders."""
    pipeline = Pipeline(state, store, log, _nobody_looks, time.time)
    own, hosts = settings.host.name, settings.hosts
    return Fleet(state, pipeline, registry, log, store.forget, own, time.time, hosts)


def _nobody_looks() -> None:
    """There are no pages to tell."""
