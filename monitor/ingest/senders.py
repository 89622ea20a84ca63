"""Who pushes: whose host it is, which of its pushes were accepted, its schemas.

All of it is in memory for now.  After a restart a repeat is stored once more, which changes
nothing, schemas are asked for again, and the first agent to come is a host's own.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from monitor.errors import InputError
from monitor.ingest.push import Columns, Number, PushDocument
from monitor.ingest.schemas import Room, Schemas
from monitor.ingest.seqs import Seqs

MOST_HOSTS = 10_000
"""Hosts that push; ten times what this program is made for."""

MOST_BOOTS = 4
"""Lives of a sender that are remembered at once; several may come interleaved."""


class Sender:
    """One host that pushes.  `lock` is held while one of its pushes is being accepted."""

    def __init__(self, room: Room) -> None:
        self.agent: str | None = None
        self.lock = asyncio.Lock()
        self.schemas = Schemas(room)
        self._boots: OrderedDict[str, Seqs] = OrderedDict()

    def is_repeat(self, number: Number) -> bool:
        """Whether a push was accepted before.

        Raises ``seq_conflict`` (409) where another with its number was.  Of numbers so long
        past that what they said is forgotten it is taken for the same.
        """
        seqs = self._boots.get(number.boot_id)
        if seqs is None or number.seq not in seqs:
            return False
        if seqs.content(number.seq) not in {None, number.content}:
            detail = f"another push with seq {number.seq} of this boot_id was accepted before"
            raise InputError(detail, code="seq_conflict", field="seq", status=409)
        return True

    def accepted(self, number: Number) -> None:
        """Remember a push that is stored."""
        seqs = self._boots.setdefault(number.boot_id, Seqs())
        self._boots.move_to_end(number.boot_id)
        seqs.add(number.seq, number.content)
        if len(self._boots) > MOST_BOOTS:
            self._boots.popitem(last=False)

    @property
    def missing(self) -> int:
        """How many numbered pushes have not come although later ones have."""
        return sum(seqs.missing for seqs in self._boots.values())


class Senders:
    """Every host that has pushed, but never `own_host`, which is the server's."""

    def __init__(self, own_host: str, most_hosts: int = MOST_HOSTS) -> None:
        self._own_host = own_host
        self._most_hosts = most_hosts
        self._room = Room()
        self._senders: dict[str, Sender] = {}

    def __len__(self) -> int:
        return len(self._senders)

    @property
    def missing(self) -> int:
        """How many numbered pushes of all hosts have not come although later ones have."""
        return sum(sender.missing for sender in self._senders.values())

    def known(self, host: str, schema: tuple[str, ...] | str) -> Columns | None:
        """What a host has agreed before: see `monitor.ingest.push.Known`."""
        sender = self._senders.get(host)
        return None if sender is None else sender.schemas.known(schema)

    def require_foreign(self, host: str) -> None:
        """Raise ``host_taken`` (409) where a host is this server's own."""
        if host == self._own_host:
            detail = f"{host} is the host that this server runs on"
            raise InputError(detail, code="host_taken", field="host", status=409)

    def of(self, document: PushDocument) -> Sender:
        """The sender of a push, which is met now where it is new.

        Raises ``host_taken`` (409) where the host is this server's own or is known by another
        agent, and ``host_limit`` where there are too many.
        """
        self.require_foreign(document.host)
        sender = self._senders.get(document.host)
        if sender is None:
            if len(self._senders) >= self._most_hosts:
                detail = f"{self._most_hosts} hosts push already"
                raise InputError(detail, code="host_limit", field="host", limit=self._most_hosts)
            sender = self._senders[document.host] = Sender(self._room)
        if document.agent is not None:
            if sender.agent is None:
                sender.agent = document.agent
            elif sender.agent != document.agent:
                detail = f"{document.host} is known by another agent: two machines, one name?"
                raise InputError(detail, code="host_taken", field="agent", status=409)
        return sender
