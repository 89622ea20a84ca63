"""Who pushes: which of each sender's pushes were accepted, and the schemas that it agreed.

The numbers of what was accepted are kept in the registry too, host by host and a little later, so
that a push may be sent again after a restart and is still known.  What a server that was killed
had not written yet is stored once more then, which changes nothing: a frame is the same frame at
the same instant.  Schemas are not kept; they are asked for again.

Whose host it is, and which agent speaks for it, is the fleet's business.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable

import msgspec

from monitor.errors import InputError
from monitor.ingest.lives import Lives
from monitor.ingest.push import Columns, Number, PushDocument
from monitor.ingest.schemas import Lists, Schemas
from monitor.ingest.seqs import Kept, Seqs
from monitor.ports import Registry

MOST_HOSTS = 10_000
"""Hosts that push; ten times what this program is made for."""

MOST_BOOTS = 4
"""Lives of a sender that are remembered at once; several may come interleaved."""

RECORDS = "senders/"
"""What the keys of the records begin with."""

KEEP_SECONDS = 5.0
"""How often one host's record is written at most."""

KEPT_A_SECOND, MOST_KEPT_AT_ONCE = 20, 100
"""Records that `keep` writes: of a thousand hosts each comes to its turn in a minute."""

FORGET_SECONDS = 7 * 86_400.0
"""A host that has pushed nothing for so long is forgotten; a day is promised."""

YIELD_SECONDS = 86_400.0
"""Where there are too many, one that has been silent for so long gives way."""

LATER_SECONDS = 60.0
"""When a host for which there is no room comes again: somebody may have made some."""

logger = logging.getLogger("monitor.ingest")


class _Record(msgspec.Struct, frozen=True, array_like=True):
    """What is kept of one host."""

    heard_at: float
    boots: list[tuple[str, Kept]]


class Sender:
    """One host that pushes.  `lock` is held while one of its pushes is being accepted."""

    def __init__(self, lists: Lists) -> None:
        self.lock = asyncio.Lock()
        self.schemas = Schemas(lists)
        self.heard_at = 0.0
        """When a push of it was last accepted, in unix seconds."""
        self.kept_at = 0.0
        """When its record was last written."""
        self.lives = Lives()
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

    def accepted(self, number: Number, now: float) -> None:
        """Remember a push that is stored."""
        seqs = self._boots.setdefault(number.boot_id, Seqs())
        self._boots.move_to_end(number.boot_id)
        seqs.add(number.seq, number.content)
        self.heard_at = now
        if len(self._boots) > MOST_BOOTS:
            self._boots.popitem(last=False)

    def is_latest(self, boot_id: str) -> bool:
        """Whether no other life of it has pushed since."""
        return not self._boots or next(reversed(self._boots)) == boot_id

    @property
    def missing(self) -> int:
        """How many numbered pushes have not come although later ones have."""
        return sum(seqs.missing for seqs in self._boots.values())

    def record(self) -> bytes:
        """What is to be kept of it."""
        boots = [(boot_id, seqs.kept()) for boot_id, seqs in self._boots.items()]
        return msgspec.msgpack.encode(_Record(self.heard_at, boots))

    def recall(self, record: bytes) -> None:
        """Know again what was kept.  Raises `msgspec.MsgspecError` where it is no record."""
        found = msgspec.msgpack.decode(record, type=_Record)
        self.heard_at = self.kept_at = found.heard_at
        for boot_id, kept in found.boots[-MOST_BOOTS:]:
            self._boots[boot_id] = Seqs.of(kept)


class Senders:
    """Every host that pushes.  Without a registry nothing outlasts this process."""

    def __init__(
        self,
        clock: Callable[[], float],
        registry: Registry | None = None,
        most_hosts: int = MOST_HOSTS,
    ) -> None:
        self.lists = Lists()
        self._clock = clock
        self._registry = registry
        self._most_hosts = most_hosts
        self._senders: dict[str, Sender] = {}
        self._unkept: OrderedDict[str, None] = OrderedDict()
        self._kept_at = 0.0

    def __len__(self) -> int:
        return len(self._senders)

    @property
    def missing(self) -> int:
        """How many numbered pushes of all hosts have not come although later ones have."""
        return sum(sender.missing for sender in self._senders.values())

    def known(self, host: str, schema: tuple[str, ...] | str) -> Columns | None:
        """The columns that a host names: see `monitor.ingest.push.Known`."""
        if not isinstance(schema, str):
            return self.lists.find(schema)
        sender = self._senders.get(host)
        return None if sender is None else sender.schemas.known(schema)

    def has_agreed(self, host: str, columns: Columns) -> bool:
        """Whether a host has these columns already."""
        sender = self._senders.get(host)
        return sender is not None and columns in sender.schemas

    def find(self, host: str) -> Sender | None:
        """A host that has pushed."""
        return self._senders.get(host)

    def of(self, document: PushDocument) -> Sender:
        """The sender of a push, which is met now where it is new.

        Raises ``host_limit`` where there are too many, all of which have pushed lately.
        """
        sender = self._senders.get(document.host)
        if sender is None:
            if len(self._senders) >= self._most_hosts and not self._make_room():
                detail = f"{self._most_hosts} hosts push already"
                raise InputError(
                    detail,
                    code="host_limit",
                    field="host",
                    limit=self._most_hosts,
                    retry_after=LATER_SECONDS,
                )
            sender = self._senders[document.host] = Sender(self.lists)
        return sender

    def accepted(self, host: str, number: Number) -> None:
        """Remember a push that is stored, unless its host has been forgotten meanwhile."""
        sender = self._senders.get(host)
        if sender is not None:
            sender.accepted(number, self._clock())
            self._unkept[host] = None

    def _make_room(self) -> bool:
        """Forget the host that has been silent longest, where that is long: whether one is."""
        name, sender = min(self._senders.items(), key=lambda each: each[1].heard_at)
        if sender.heard_at > self._clock() - YIELD_SECONDS:
            return False
        self._drop(name)
        return True

    def _drop(self, host: str) -> None:
        sender = self._senders.pop(host, None)
        self._unkept.pop(host, None)
        if sender is not None:
            sender.schemas.close()

    # What outlasts this process

    async def load(self) -> None:
        """Know again what was kept, and let go of hosts that went long ago."""
        if self._registry is None:
            return
        oldest = self._clock() - FORGET_SECONDS
        for key in await self._registry.keys(RECORDS):
            entry = await self._registry.get(key)
            host, sender = key.removeprefix(RECORDS), Sender(self.lists)
            if entry is None:
                continue
            try:
                sender.recall(entry.value)
            except msgspec.MsgspecError as error:
                logger.warning("what %s has pushed cannot be read: %s", host, error)
            if sender.heard_at < oldest:
                await self._registry.delete(key)
            elif len(self._senders) < self._most_hosts:
                self._senders.setdefault(host, sender)

    async def keep(self, *, everything: bool = False) -> None:
        """Write some records that have changed, or all of them.  Raises as the registry does."""
        if self._registry is None:
            return
        now = self._clock()
        most = min(MOST_KEPT_AT_ONCE, max(1, round(KEPT_A_SECOND * abs(now - self._kept_at))))
        self._kept_at = now
        due = [
            host
            for host in self._unkept
            if everything or abs(now - self._senders[host].kept_at) >= KEEP_SECONDS
        ]
        for host in due if everything else due[:most]:
            sender = self._senders.get(host)
            if sender is None:
                continue
            # What is accepted while it is being written comes to its turn anew.
            self._unkept.pop(host, None)
            try:
                await self._registry.put(RECORDS + host, sender.record())
            except BaseException:
                self._unkept[host] = None
                raise
            sender.kept_at = now

    async def forget(self, host: str) -> None:
        """Let go of a host: it was deleted."""
        self._drop(host)
        if self._registry is not None:
            await self._registry.delete(RECORDS + host)
