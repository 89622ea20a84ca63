"""Who reads: the readers that are live, by audience, and those that are behind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from monitor.stream.reader import Audience, SSEClient

Write = Callable[[bytes], None]


class Group:
    """The live readers of one audience: all have the same, so all get the same."""

    __slots__ = ("audience", "spoke_at", "told", "told_at", "writes")

    def __init__(self, audience: Audience, now: float, position: int) -> None:
        self.audience = audience
        self.writes: dict[SSEClient, Write] = {}
        self.spoke_at = now
        self.told = position
        """The position that its readers were last told."""
        self.told_at = now


class Crowd:
    """Every reader; each is live or behind."""

    def __init__(self) -> None:
        self._all: dict[str, SSEClient] = {}
        self._groups: dict[Audience, Group] = {}
        self._behind: dict[SSEClient, None] = {}
        self._heard: Counter[str] = Counter()
        self.watching: list[Callable[[str, bool], None]] = []
        """Called with a topic that has its first reader, or has lost its last."""

    def __len__(self) -> int:
        return len(self._all)

    def hears(self, topic: str) -> bool:
        """Whether somebody reads a topic."""
        return topic in self._heard

    def find(self, client_id: str) -> SSEClient | None:
        """The reader with this id, or none."""
        return self._all.get(client_id)

    def clients(self) -> tuple[SSEClient, ...]:
        """Everybody."""
        return tuple(self._all.values())

    def behind(self) -> tuple[SSEClient, ...]:
        """Those that have not got everything."""
        return tuple(self._behind)

    def groups(self) -> tuple[Group, ...]:
        """Those that have, by audience."""
        return tuple(self._groups.values())

    def join(self, client: SSEClient) -> None:
        """A reader came; it has nothing yet."""
        self._all[client.id] = client
        client.is_here = True
        self._behind[client] = None
        for topic in client.topics:
            self._heard[topic] += 1
            if self._heard[topic] == 1:
                self._tell(topic, True)

    def leave(self, client: SSEClient) -> bool:
        """A reader went: whether it was here."""
        if self._all.pop(client.id, None) is None:
            return False
        client.is_here = False
        self._behind.pop(client, None)
        self._part(client)
        for topic in client.topics:
            self._heard[topic] -= 1
            if not self._heard[topic]:
                del self._heard[topic]
                self._tell(topic, False)
        return True

    def _tell(self, topic: str, is_heard: bool) -> None:
        for callback in self.watching:
            callback(topic, is_heard)

    def go_live(self, client: SSEClient, write: Write, now: float, position: int) -> None:
        """A reader has everything up to the hub's position."""
        self._behind.pop(client, None)
        group = self._groups.get(client.audience)
        if group is None:
            group = self._groups[client.audience] = Group(client.audience, now, position)
            group.told_at = client.told_at  # however often it is made anew
        group.told = min(group.told, client.told)  # it may have passed what it does not hear
        group.writes[client] = write
        client.is_live = True

    def fall_behind(self, client: SSEClient, position: int, seen: int) -> None:
        """A live reader stops at this position and version."""
        if not client.is_live:
            return
        client.position, client.seen = position, seen
        group = self._groups[client.audience]
        client.told, client.told_at = max(client.told, group.told), group.told_at
        self._part(client)
        self._behind[client] = None

    def _part(self, client: SSEClient) -> None:
        """Take a reader out of its group; a group without readers is none."""
        client.is_live = False
        group = self._groups.get(client.audience)
        if group is not None:
            group.writes.pop(client, None)
            if not group.writes:
                del self._groups[client.audience]
