"""The server that is measured: `monitor serve` in a process of its own, with people and tokens.

Accounts, sessions and tokens are made before it starts, by what the command line makes them with.
Nothing here measures.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bench.stream.accounts import rss_kib
from monitor.access.audit import Actor
from monitor.access.office import Office
from monitor.access.tokens import Wish
from monitor.core.access import Role, TokenKind
from monitor.log.sqlite import open_log
from tests.serving import start

PASSWORD = "correct horse battery"
BENCH = Actor("bench", "command line")

SLOW_COLLECTORS = '[collect]\ninterval = "1h"\n'
"""So that what is counted was caused by requests."""


@dataclass(frozen=True)
class People:
    """How many may come in."""

    agents: int = 0
    readers: int = 0
    """API tokens that may read."""
    accounts: int = 0
    sessions: int = 0
    """Of the first account."""


@dataclass(frozen=True)
class Credentials:
    """What they come in with."""

    agents: tuple[str, ...] = ()
    """A token for each of the hosts `host(0)`, `host(1)` and so on."""
    readers: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    cookies: tuple[str, ...] = ()


@dataclass(frozen=True)
class House:
    """A server that listens."""

    port: int
    pid: int
    credentials: Credentials
    data: Path
    """Its data directory."""

    @property
    def rss_mib(self) -> float:
        """Resident memory."""
        return rss_kib([self.pid]) / 1024

    @property
    def peak_mib(self) -> float:
        """The most that was resident at once since the last `reset_peak`."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
        raise RuntimeError("the kernel does not say what was resident at most")

    def reset_peak(self) -> None:
        """Count the most resident memory from now on; where the kernel refuses, from the start."""
        with contextlib.suppress(OSError):
            Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    @property
    def connections(self) -> int:
        """Open sockets: other files come and go with what collectors read."""
        found = 0
        for each in Path(f"/proc/{self.pid}/fd").iterdir():
            with contextlib.suppress(OSError):  # it may be closed meanwhile
                found += str(each.readlink()).startswith("socket:")
        return found


def host(number: int) -> str:
    """What a host is called."""
    return f"web-{number:04d}"


@contextlib.contextmanager
def house(
    people: People | None = None, config: str = "", place: Path | None = None
) -> Iterator[House]:
    """A running server; without people it is open.  Its folder is made in `place`."""
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=place) as name:
        folder = Path(name)
        (folder / "data").mkdir(mode=0o700)
        (folder / "config.toml").write_text(config)
        made = asyncio.run(_moved_in(folder / "data", people)) if people else Credentials()
        server = start(folder, "--config", str(folder / "config.toml"))
        try:
            port = urlsplit(server.url).port
            assert port is not None
            yield House(port, server.process.pid, made, folder / "data")
        finally:
            try:
                server.end()
            except AssertionError as error:  # it is killed, and what was measured stands
                print(str(error)[:300])


async def _moved_in(data: Path, people: People) -> Credentials:
    log, registry = await open_log(data)
    try:
        office = Office(registry, log, time.time)
        await office.load()
        accounts = [f"person-{number}" for number in range(max(1, people.accounts))]
        for name in accounts:
            await office.accounts.create(BENCH, name, Role.ADMIN, PASSWORD)
        agents, readers, cookies = [], [], []
        for number in range(people.agents):
            wish = Wish(TokenKind.AGENT, (host(number),))
            agents.append((await office.tokens.create(BENCH, wish))[0])
        for _ in range(people.readers):
            wish = Wish(TokenKind.API, scopes=("read",))
            readers.append((await office.tokens.create(BENCH, wish))[0])
        for _ in range(people.sessions):
            opened = await office.accounts.log_in(
                accounts[0], PASSWORD, remember=True, address="127.0.0.1", agent="bench"
            )
            assert opened is not None
            cookies.append(opened[0])
        return Credentials(tuple(agents), tuple(readers), tuple(accounts), tuple(cookies))
    finally:
        await registry.close()
        await log.close()
