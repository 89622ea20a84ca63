"""What is kept of each host beside its numbers: who speaks for it, and what that says of itself.

A card is one value of the registry, ``hosts/NAME``.  None of what an agent says is trusted; the
operator's word is not here but in the configuration and in tokens.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

import msgspec

from monitor.core.access import matches
from monitor.fleet.config import HostsConfig
from monitor.model import Introduction
from monitor.ports import Registry

CARDS = "hosts/"
"""What the keys of cards begin with."""

LABELS = "labels/"
"""What those of hosts' labels began with, before there were cards; they are read still."""

MOST_INFO = 16
"""Facts that an agent may tell of itself and its machine."""

logger = logging.getLogger("monitor.fleet")


class Card(msgspec.Struct, frozen=True, omit_defaults=True):
    """One host's.  `labels` are its own, `given` those of its token, which win."""

    agent: str | None = None
    labels: dict[str, str] = {}
    given: dict[str, str] = {}
    info: dict[str, str] = {}
    interval_seconds: float = 0.0
    is_ephemeral: bool = False

    def after(self, said: Introduction) -> Card:
        """The card once somebody has introduced themselves; what they leave out stays."""
        changes: dict[str, object] = {}
        if said.agent is not None:
            changes |= {"agent": said.agent, "given": dict(said.given_labels)}
            changes["interval_seconds"] = said.interval_seconds
        elif said.given_labels:
            changes["given"] = dict(said.given_labels)
        if said.labels is not None:
            changes["labels"] = dict(said.labels)
        if said.info is not None:
            changes["info"] = dict(list(said.info.items())[:MOST_INFO])
        if said.is_ephemeral is not None:
            changes["is_ephemeral"] = said.is_ephemeral
        return msgspec.structs.replace(self, **changes)


class Words(msgspec.Struct, frozen=True):
    """The operator's word on one host: see `HostsConfig`."""

    labels: dict[str, str]
    trusts_labels: bool
    is_ephemeral: bool | None


def words(configured: Mapping[str, HostsConfig], host: str) -> Words:
    """What the configuration says of a host; of several globs the later one wins, key by key."""
    labels: dict[str, str] = {}
    trusts, ephemeral = False, None
    for glob, said in configured.items():
        if matches((glob,), host):
            labels |= said.labels
            trusts = trusts if said.trust_labels is None else said.trust_labels
            ephemeral = ephemeral if said.ephemeral is None else said.ephemeral
    return Words(labels, trusts, ephemeral)


async def load(registry: Registry) -> dict[str, Card]:
    """Every card that there is; one that cannot be read is as if it were not, and is told of."""
    cards: dict[str, Card] = {}
    for key in await registry.keys(LABELS):
        entry = await registry.get(key)
        name = key.removeprefix(LABELS)
        if entry is not None:
            try:
                cards[name] = Card(labels=msgspec.json.decode(entry.value, type=dict[str, str]))
            except msgspec.MsgspecError as error:
                logger.warning("the labels of %s cannot be read: %s", name, error)
    for key in await registry.keys(CARDS):
        entry = await registry.get(key)
        name = key.removeprefix(CARDS)
        if entry is not None:
            try:
                cards[name] = msgspec.json.decode(entry.value, type=Card)
            except msgspec.MsgspecError as error:
                logger.warning("the card of %s cannot be read: %s", name, error)
    return cards


async def save(registry: Registry, host: str, card: Card) -> None:
    """Keep a card; it is durable on return.  Raises as `Registry.put` does."""
    await registry.put(CARDS + host, msgspec.json.encode(card))


async def drop(registry: Registry, host: str) -> None:
    """Let a card go."""
    await registry.delete(CARDS + host)
    await registry.delete(LABELS + host)
