"""Settings become a running application: the file that names concrete classes."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import gc
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

import structlog

from monitor import logs, weighing
from monitor.access.office import Office
from monitor.agent.about import introduction
from monitor.alarm import Alarm
from monitor.care import restore
from monitor.collect import subjects
from monitor.collect.runner import Runner
from monitor.config import Settings
from monitor.core.load import Load, most_memory
from monitor.core.recent import Recent
from monitor.core.state import LiveState
from monitor.errors import StartError, Unavailable
from monitor.fleet.fleet import Fleet
from monitor.fleet.roster import Roster
from monitor.forward.forwards import Forwards
from monitor.ingest.intake import Intake
from monitor.ingest.senders import Senders
from monitor.log import retention
from monitor.log.sqlite import open_log
from monitor.model import Frame, Introduction, Snapshot
from monitor.outbound.guard import Guard
from monitor.outbound.resolving import Resolver
from monitor.pipeline import NotStored, Pipeline
from monitor.ports import EventLog, Registry, SeriesStore, Unknown
from monitor.scrape.fetching import Fetchers
from monitor.scrape.poller import Poller
from monitor.store.sqlite import open_store
from monitor.stream.hub import EventPublisher
from monitor.web import assets, server
from monitor.web.app import create_app
from monitor.web.config import is_local, limits
from monitor.web.connections import Connections
from monitor.web.door import Door
from monitor.web.edge import is_loopback
from monitor.web.forwarded import Proxies
from monitor.web.listening import FIRST_ACCOUNT, Listening, Tls, allowed_hosts, judge, listening
from monitor.web.objects import Objects
from monitor.web.services import Services
from monitor.web.trust import trust

if TYPE_CHECKING:
    from monitor.tls.sources import Source

TICK_SECONDS = 1.0
"""How often time is judged."""

KEEP_SECONDS = 5.0
"""How often the roster's checkpoint is looked at."""

CHECK_SECONDS = 10.0
"""When after the start the files are looked over: by then whoever waited for pages has them."""

TRIM_SECONDS = 30.0
"""How often history is let go of that was kept long enough, or is too much."""

PRUNE_SECONDS = 3_600.0
"""How often what was kept long enough is let go of."""

MOST_DESCRIPTORS = 65_536
"""More than any of our bounds needs, however high the system's limit is."""

END_SECONDS = 1.6
"""How long the HTTP server may take to end: more than it gives its own connections."""

LEAVE_SECONDS = 0.2
"""How long asyncio gets to end what is left once everything of ours is closed."""

ANNOUNCE = "announce"
"""The one task that may end by itself, once it has said where we listen."""

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Signals that end the server in an orderly way."""

SWITCH_SECONDS = 0.002
"""How long a worker thread may hold the interpreter while the event loop wants it."""

COLLECT_AFTER = (50_000, 20, 100)
"""Objects made before garbage is looked for: hardly any of ours is in a cycle, and looking at every
few hundred took a quarter of what a thousand new readers cost."""

ACCOUNTS, TOKENS = "access/account/", "access/token/"
"""Where the registry keeps who may come in."""

Check = Callable[[], Awaitable[list[str]]]
"""Looks a whole file over, and says in words what is damaged."""

READY_SECONDS = 30.0
"""A host whose first frame has not come by then cannot be watched."""


def serve(
    settings: Settings,
    data_dir: Path,
    accept_retention: bool = False,
    reread: Callable[[], Settings] | None = None,
) -> int:
    """Run the server until SIGTERM or SIGINT; the exit status.

    With `accept_retention` history that the brake of retention holds is let go of; `reread` reads
    the configuration anew.  Raises `StartError` where it cannot start: a busy port, a locked data
    directory.
    """
    logs.configure(settings.logging)
    os.umask(0o077)
    _allow_many_descriptors()
    place = listening(settings.server)
    with (
        locked(data_dir),
        contextlib.closing(server.listener(place.address, place.port)) as listener,
    ):
        if settled := restore.settle(data_dir):
            structlog.stdlib.get_logger("monitor").warning(settled)
        return asyncio.run(
            _until_the_end(settings, data_dir, place, listener, accept_retention, reread)
        )


def _unwise(settings: Settings, data_dir: Path, *, is_open: bool) -> Iterator[str]:
    """What an operator would rather know at the start, in a sentence each."""
    if os.geteuid() == 0:
        yield "running as root, which needs nothing but reading this host: give it its own user"
    named = [name for name in allowed_hosts(settings.server) if not is_loopback(name)]
    if is_open and named:
        yield (
            f"there is no account, and names beside loopback's are allowed ({', '.join(named)}):"
            " whoever comes by one of them, as through a proxy, is administrator; make an account:"
            f" {FIRST_ACCOUNT}"
        )
    if data_dir.stat().st_mode & 0o077:
        yield f"others may look into the data directory: chmod 700 {data_dir}"


async def _until_the_end(
    settings: Settings,
    data_dir: Path,
    place: Listening,
    listener: socket.socket,
    accept_retention: bool,
    reread: Callable[[], Settings] | None,
) -> int:
    """Run the application; then leave, even where some task of the HTTP server cannot be ended.

    By then everything of ours is closed, and asyncio would wait for such a task for ever.
    """
    log, registry = await open_log(data_dir)
    try:
        # Nothing is accepted before this: the listener has been given to nobody yet.
        has_account = bool(await registry.keys(ACCOUNTS))
        judge(
            settings.server,
            place,
            has_account=has_account,
            has_token=bool(await registry.keys(TOKENS)),
        )
        source = await asyncio.to_thread(_certificate, settings, data_dir, place)
        store = await open_store(data_dir, settings.retention, accept_retention=accept_retention)
    except BaseException:
        await log.close()
        await registry.close()
        raise
    for said in _unwise(settings, data_dir, is_open=place.is_open(has_account=has_account)):
        structlog.stdlib.get_logger("monitor").warning(said)
    checks = (("log.db", log.check), ("series.db", store.check))
    application = Application(settings, log, registry, store, checks, place, data_dir, reread)
    keep_the_loop_free()
    status = await application.run(listener, source)
    for number in STOPPING:
        # We are as good as gone; a second signal must not turn success into a failure.
        asyncio.get_running_loop().remove_signal_handler(number)
        signal.signal(number, signal.SIG_IGN)
    last_word = threading.Timer(LEAVE_SECONDS, os._exit, (status,))
    last_word.daemon = True
    last_word.start()
    return status


def _certificate(settings: Settings, data_dir: Path, place: Listening) -> Source | None:
    """What to speak TLS with, or none."""
    if place.tls is Tls.OFF:
        return None
    # cryptography takes a while to import, and most that listen on loopback have no use for it.
    from monitor.web.certificates import certificate  # noqa: PLC0415

    return certificate(settings.server, place, data_dir, time.time)


def _allow_many_descriptors() -> None:
    """Raise our own limit of descriptors as far as we may: collectors and readers hold many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if resource.RLIM_INFINITY != soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def keep_the_loop_free() -> None:
    """Bound what stops the event loop without asking.

    A full collection of everything that was imported takes 50 ms and finds nothing, so what
    lives now is left out of it; and a thread that draws a page gives way more often.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    sys.setswitchinterval(SWITCH_SECONDS)


@contextlib.contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Hold the data directory; it is made where it is missing, for its owner alone.

    Raises `StartError`, naming the process that holds it where that is known.
    """
    try:
        if data_dir.exists() and not data_dir.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = open(data_dir / "lock", "a+")  # noqa: SIM115 - held until we end
    except OSError as error:
        detail = f"cannot use the data directory {data_dir}: {error.strerror}; pass --data"
        raise StartError(detail) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StartError(
                f"the data directory {data_dir} is in use by {_holder(lock)}; "
                "stop that server, or pass --data with another directory"
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield
        lock.truncate(0)


def _holder(lock: IO[str]) -> str:
    lock.seek(0)
    pid = lock.read(16).strip()
    return f"process {pid}" if pid.isdigit() else "another process"


def _fault(task: asyncio.Task[object]) -> BaseException | None:
    """Why a task that is done ended before its time."""
    return asyncio.CancelledError() if task.cancelled() else task.exception()


class Application:
    """The built objects, and the tasks that run them."""

    def __init__(
        self,
        settings: Settings,
        events: EventLog,
        registry: Registry,
        store: SeriesStore,
        checks: Sequence[tuple[str, Check]] = (),
        place: Listening | None = None,
        data_dir: Path | None = None,
        reread: Callable[[], Settings] | None = None,
    ) -> None:
        self._log = structlog.stdlib.get_logger("monitor")
        self._ready = asyncio.Event()
        self._ending = asyncio.Event()
        self._well = asyncio.Event()
        self._well.set()
        host = settings.host.name
        self._store = store
        self._history_fault = False
        self._checks = checks
        self._events = events
        self._registry = registry
        state = LiveState()
        self._roster = Roster(state, events, registry)
        self._hub = EventPublisher(self._events, state, time.time)
        self._pipeline = Pipeline(state, self._store, self._events, self._hub.offer, time.time)
        self._fleet = Fleet(
            state,
            self._pipeline,
            registry,
            events,
            store.forget,
            host,
            time.time,
            settings.hosts,
        )
        self._alarm = Alarm(
            settings,
            reread or (lambda: settings),
            state,
            store,
            events,
            registry,
            self._hub,
            data_dir,
            time.time,
        )
        self._pipeline.late_taps.append(self._alarm.judge.note_late)
        info = introduction(settings.collect.interval, is_ephemeral=False)
        self._fleet.show(state.label(host, {}), settings.host.labels, info)
        self._forwards = Forwards(
            settings.remote_write if data_dir is not None else {},
            data_dir or Path(),
            settings.outbound.networks,
            lambda name: known.labels if (known := state.hosts.get(name)) else {},
            time.time,
        )
        self._pipeline.taps.append(self._forwards.tap)
        self._runner = Runner(
            subjects.build(settings.collect), host, settings.collect.interval, self._accept
        )
        self._office = Office(registry, events, time.time)
        self._door = Door(
            self._office,
            self._hub,
            time.time,
            is_loopback=place is None or place.is_loopback,
        )
        most = limits(settings.server, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        proxies = Proxies.of(
            settings.server.trusted_proxies,
            settings.server.public_url,
            lambda: self._door.is_open,
        )
        self._connections = Connections(
            most.connections,
            most.connections_per_address,
            lambda host: is_local(host) or proxies.trusts(host),
        )
        self._load = Load(most_memory(settings.server.max_memory, weighing.machine_bytes()))
        self._senders = Senders(time.time, registry)
        self._intake = Intake(
            self._pipeline.accept_all,
            self._fleet,
            time.time,
            oldest=store.oldest_accepted,
            load=self._load,
            senders=self._senders,
        )
        self._fleet.erasing.append(self._keep_roster)
        self._fleet.forgetting += [
            self._senders.forget,
            self._intake.lanes.forget,
            self._alarm.forget,
        ]
        self._poller = Poller(
            settings.scrape,
            Fetchers(Guard(settings.outbound.networks), Resolver()),
            self._intake.lanes,
            self._intake.take,
            time.time,
            self._met,
            state.hosts.__contains__,
        )
        self._state, self._recent = state, Recent()
        services = Services(
            state=state,
            store=self._store,
            log=self._events,
            hub=self._hub,
            intake=self._intake,
            assets=assets.load(),
            recent=self._recent,
            connections=self._connections,
            door=self._door,
            objects=Objects(state, self._office, self._fleet),
            fleet=self._fleet,
            clock=time.time,
            ready=self._is_ready,
            host=host,
            load=self._load,
            about={
                "Data": str(data_dir or "in memory"),
                "TLS": place.tls.value if place else "off",
                "Memory": f"at most {self._load.most_memory_bytes >> 20} MiB",
            },
            public_url=settings.server.public_url or "",
            trust=lambda: trust(
                settings.server, data_dir, is_local=place is None or place.is_loopback
            ),
            limits=most,
            forwards=self._forwards.status,
            targets=self._poller.status,
            alerting=self._alarm,
            notify=self._alarm,
        )
        self._web = create_app(services, allowed_hosts(settings.server), proxies)

    async def _accept(self, frame: Frame, snapshots: list[Snapshot]) -> None:
        """Take a frame of this host, also where the log or the history cannot."""
        try:
            await self._pipeline.accept(frame, snapshots)
        except NotStored as error:
            self._complain_of_history(str(error))
        except (Unavailable, Unknown) as error:
            self._complain(str(error))
        else:
            self._complain_of_history(None)
        self._ready.set()

    async def _met(self, said: Introduction) -> None:
        """Keep what a scrape says of a host, unless an agent speaks for it."""
        if self._fleet.agent_of(said.host) is None:
            await self._fleet.met(said)

    def _complain_of_history(self, reason: str | None) -> None:
        """Once each time: pages go on, and say for themselves what is the matter."""
        if reason is not None and not self._history_fault:
            self._log.error("the history takes nothing", reason=reason)
        if reason is None and self._history_fault:
            self._log.info("the history takes frames again")
        self._history_fault = reason is not None

    async def _tick(self) -> None:
        """Judge what time has done; a log that cannot be written now is tried again."""
        try:
            now = time.time()
            await self._pipeline.tick(now)
            await self._alarm.tick(now)
        except (Unavailable, Unknown) as error:
            self._complain(str(error))
        else:
            if not self._well.is_set():
                self._log.info("the log can be written again")
            self._well.set()

    def _complain(self, reason: str) -> None:
        if self._well.is_set():
            self._log.error("the log cannot be written", reason=reason)
        self._well.clear()

    def _is_ready(self) -> bool:
        return self._ready.is_set() and self._well.is_set()

    async def run(self, listening: socket.socket, source: Source | None = None) -> int:
        """Serve until told to stop; 0, or 1 where a task of ours failed.

        With `source` over TLS, with its certificate.
        """
        loop = asyncio.get_running_loop()
        for number in STOPPING:
            # Whoever started us may have us ignore the others: nohup, a shell's background job.
            if number == signal.SIGTERM or signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, self._ending.set)
        await self._office.load()
        await self._roster.restore(time.time())
        await self._fleet.load()
        await self._senders.load()
        await self._alarm.begin()
        await self._hub.start()
        await self._forwards.open()
        tasks = [
            asyncio.create_task(self._runner.run(), name="collect"),
            asyncio.create_task(self._judge(), name="judge"),
            asyncio.create_task(self._keep(), name="keep"),
            asyncio.create_task(self._trim(), name="trim"),
            asyncio.create_task(self._office.directory.follow(), name="directory"),
            asyncio.create_task(self._office.keep(), name="office"),
            asyncio.create_task(self._door.watch(), name="door"),
            asyncio.create_task(self._forwards.run(), name="forward"),
            asyncio.create_task(self._poller.run(), name="scrape"),
            asyncio.create_task(self._fleet.follow(), name="fleet"),
            asyncio.create_task(weighing.watch(self._load), name="load"),
            *(asyncio.create_task(work, name=name) for name, work in self._alarm.tasks().items()),
            asyncio.create_task(self._announce(listening, source), name=ANNOUNCE),
        ]
        if source is not None:
            tasks.append(asyncio.create_task(source.keep(), name="tls"))
        serving = asyncio.create_task(
            server.serve(
                self._web,
                listening,
                self._connections,
                self._shutdown,
                None if source is None else source.current,
            ),
            name="http",
        )
        try:
            failed = await self._watch([*tasks, *self._hub.tasks, serving])
        finally:
            await self._end([*tasks, serving])
        self._log.info("stopped", failed=failed)
        return 1 if failed else 0

    async def _end(self, tasks: list[asyncio.Task[None]]) -> None:
        """Let the HTTP server, which is the last task, say goodbye, and end everything else."""
        self._ending.set()
        for task in tasks[:-1]:
            task.cancel()
        _, open_still = await asyncio.wait(tasks, timeout=END_SECONDS)
        for task in open_still:
            self._log.warning("a task did not end", task=task.get_name(), stack=str(task))
            task.cancel()
        self._runner.close()
        await self._hub.stop()
        await self._tick()
        try:
            async with self._pipeline.judging:
                await self._roster.keep(at_the_end=True)
            await self._fleet.keep()
            await self._senders.keep(everything=True)
            await self._alarm.keep(at_the_end=True)
        except (Unavailable, Unknown) as error:
            self._log.warning("the roster was not kept", reason=str(error))
        await self._office.tidy()
        await self._events.close()
        await self._registry.close()
        await self._store.close()

    def end(self) -> None:
        """Stop serving, as SIGTERM would."""
        self._ending.set()

    async def _watch(self, tasks: list[asyncio.Task[None]]) -> bool:
        """Wait for the signal to stop, or for a task to fail: whether one did.

        A server with a dead task would answer /healthz and show old numbers, so it stops.
        """
        waiting: set[asyncio.Task[object]] = {*tasks}
        ending = asyncio.create_task(self._ending.wait(), name="ending")
        waiting.add(ending)
        while not self._ending.is_set():
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {ending}:
                if self._ending.is_set() or (task.get_name() == ANNOUNCE and not _fault(task)):
                    continue
                ending.cancel()
                fault = _fault(task)
                if isinstance(fault, StartError):
                    raise fault
                self._log.error("a task ended", task=task.get_name(), exc_info=fault)
                return True
        return False

    async def _keep_roster(self) -> None:
        async with self._pipeline.judging:
            await self._roster.keep(at_the_end=True)

    async def _judge(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            await self._tick()
            self._recent.look(self._state.hosts, time.time())

    async def _keep(self) -> None:
        """Write down where the roster stands, and let go of what was kept long enough."""
        pruned_at = -PRUNE_SECONDS
        while True:
            await asyncio.sleep(KEEP_SECONDS)
            try:
                async with self._pipeline.judging:
                    await self._roster.keep()
                await self._fleet.keep()
                await self._senders.keep()
                await self._alarm.keep()
                if time.monotonic() - pruned_at >= PRUNE_SECONDS:
                    await retention.prune(self._events, time.time())
                    pruned_at = time.monotonic()
            except (Unavailable, Unknown) as error:
                self._log.warning("the log was not looked after", reason=str(error))

    async def _trim(self) -> None:
        """Let history go that was kept long enough; first, look both files over once."""
        await asyncio.sleep(CHECK_SECONDS)
        for name, check in self._checks:
            for complaint in await check():
                self._log.error("a file is damaged; see monitor doctor", file=name, why=complaint)
        while True:
            await asyncio.sleep(TRIM_SECONDS)
            try:
                await self._store.trim(time.time())
            except (Unavailable, Unknown) as error:
                self._log.warning("the history was not trimmed", reason=str(error))

    async def _announce(self, listening: socket.socket, source: Source | None) -> None:
        try:
            await asyncio.wait_for(self._ready.wait(), READY_SECONDS)
        except TimeoutError:
            raise StartError(f"no frame of this host within {READY_SECONDS:.0f} s") from None
        await self._well.wait()
        for line in source.lines if source is not None else ():
            self._log.info(line)
            print(line, file=sys.stderr, flush=True)  # noqa: T201 - for whoever is to pin it
        url = server.url(listening, "http" if source is None else "https")
        print(f"listening on {url}", file=sys.stderr, flush=True)  # noqa: T201 - the contract's

    async def _shutdown(self) -> None:
        """Hypercorn's trigger: returns once streams have been told goodbye."""
        await self._ending.wait()
        await self._hub.stop()
