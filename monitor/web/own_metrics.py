"""What the server counts of itself, as families for ``GET /metrics``.

Names follow OpenMetrics: base units, ``_total`` for what only grows.  The process's own are the
names that every Prometheus client uses, so that dashboards that exist fit.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

import psutil

import monitor
from monitor.core.rules.model import Severity
from monitor.errors import MonitorError
from monitor.forward.forwards import ForwardStatus
from monitor.notify.channel import ChannelStatus
from monitor.web.exposition import Family, Kind
from monitor.web.services import Services


async def gathered(services: Services) -> tuple[Family, ...]:
    """Every family, now."""
    return (
        *_stream(services),
        *await _log(services),
        *_door(services),
        *_pushes(services),
        *_forwards(services.forwards()),
        *_judge(services),
        *_notifications(services),
        Family.single("monitor_hosts", "Hosts known.", "gauge", len(services.state.hosts)),
        Family.single(
            "monitor_store_warnings",
            "What the server has to say to its operator now, its store above all.",
            "gauge",
            len(services.warnings()),
        ),
        *await asyncio.to_thread(_process),  # many descriptors take a while to count
        Family(
            "monitor_build_info",
            "Always 1; the version stands in the label.",
            "gauge",
            (({"version": monitor.__version__}, 1.0),),
        ),
    )


def _stream(services: Services) -> tuple[Family, ...]:
    counters = services.hub.counters
    total = (
        ("events", "Logged events taken from the log.", counters.events_total),
        ("deliveries", "Pieces handed to readers.", counters.writes_total),
        ("sent_bytes", "Bytes of them, as they leave.", counters.sent_bytes_total),
        (
            "conflations",
            "Times that newer state took the place of what a reader had not got yet.",
            counters.conflations_total,
        ),
        ("gaps", "Readers told that events are missing.", counters.gaps_total),
        ("stalls", "Readers cut because they did not read.", counters.stalls_total),
        ("refusals", "Streams not opened for want of room.", counters.refusals_total),
    )
    return (
        Family.single(
            "monitor_connections_refused_total",
            "Connections closed unheard, because there were too many.",
            "counter",
            services.connections.refused_total,
        ),
        _by(
            "monitor_connections_closed_total",
            "Connections closed for want of a place: unheard because the server was full or their "
            "address had too many, or waiting ones that had to yield.",
            "reason",
            services.connections.places.refused,
        ),
        _by(
            "monitor_requests_refused_total",
            "Requests refused on their bytes, by code.",
            "code",
            services.connections.refusals,
        ),
        Family.single(
            "monitor_stream_readers", "Open streams.", "gauge", services.hub.client_count
        ),
        *(
            Family.single(f"monitor_stream_{name}_total", help_, "counter", value)
            for name, help_, value in total
        ),
        _by(
            "monitor_stream_evictions_total",
            "Streams that the server ended, by reason.",
            "reason",
            counters.evictions_total,
        ),
    )


async def _log(services: Services) -> tuple[Family, ...]:
    try:
        last = await services.log.last()
    except MonitorError:
        return ()  # the other figures matter the more
    return (Family.single("monitor_log_last_position", "The log's end.", "gauge", last),)


def _door(services: Services) -> tuple[Family, ...]:
    load = services.load
    return (
        _by(
            "monitor_door_refusals_total",
            "Requests that the door refused, by code.",
            "code",
            services.door.refused_total,
        ),
        Family.single(
            "monitor_tls_handshakes_failed_total",
            "TLS handshakes that came to nothing.",
            "counter",
            services.connections.handshakes_failed_total,
        ),
        Family.single(
            "monitor_load_level",
            "What is shed: 0 nothing, 1 new series, 2 queries, 3 new streams, 4 pushes.",
            "gauge",
            load.level,
        ),
        Family.single(
            "monitor_memory_limit_bytes",
            "The memory near which work is shed.",
            "gauge",
            load.most_memory_bytes,
        ),
        _by(
            "monitor_shed_total",
            "What was refused because of overload.",
            "what",
            {what.name.lower(): count for what, count in load.shed_total.items()},
        ),
        Family.single(
            "monitor_hosts_with_refused_series",
            "Hosts that lately brought more series than there may be.",
            "gauge",
            len(services.intake.refused_series),
        ),
    )


def _pushes(services: Services) -> tuple[Family, ...]:
    intake = services.intake
    return (
        _by(
            "monitor_pushes_total",
            "Pushes by what became of them: accepted, duplicate, or an error's code.",
            "outcome",
            intake.outcomes,
        ),
        Family(
            "monitor_gathered_samples_total",
            "Samples of remote write and OTLP by what became of them: written, or an error's code.",
            "counter",
            tuple(
                ({"protocol": protocol, "outcome": outcome}, float(counts[outcome]))
                for protocol, counts in sorted(intake.lanes.samples.items())
                for outcome in sorted(counts)
            ),
        ),
        Family.single(
            "monitor_push_hosts", "Hosts that have pushed.", "gauge", len(intake.senders)
        ),
        Family.single(
            "monitor_agents_connected",
            "WebSockets of agents that are open.",
            "gauge",
            services.connections.agents_open,
        ),
        Family.single(
            "monitor_push_missing",
            "Numbered pushes that have not come although later ones have.",
            "gauge",
            intake.senders.missing,
        ),
    )


def _forwards(known: Sequence[ForwardStatus]) -> Iterator[Family]:
    """What waits for receivers of remote write, and what became of the rest; none without any."""
    kinds: tuple[tuple[str, str, Kind, Callable[[ForwardStatus], float]], ...] = (
        ("up", "1 while what is sent is taken.", "gauge", lambda one: not one.fault),
        ("pending_samples", "Samples that wait.", "gauge", lambda one: one.pending_samples),
        ("pending_bytes", "What waits on disk.", "gauge", lambda one: one.pending_bytes),
        ("queue_bytes", "The queue on disk.", "gauge", lambda one: one.size_bytes),
        ("queue_limit_bytes", "Its bound.", "gauge", lambda one: one.most_bytes),
        (
            "behind_seconds",
            "Age of the oldest sample under way.",
            "gauge",
            lambda one: one.behind_seconds,
        ),
        ("requests_total", "Requests made.", "counter", lambda one: one.requests_total),
        ("retries_total", "Those made again.", "counter", lambda one: one.retries_total),
        ("sent_samples_total", "Samples taken.", "counter", lambda one: one.sent_samples_total),
        ("sent_bytes_total", "Bytes of them.", "counter", lambda one: one.sent_bytes_total),
        (
            "refused_samples_total",
            "Samples that the receiver refused for good.",
            "counter",
            lambda one: one.refused_samples_total,
        ),
        (
            "dropped_samples_total",
            "Samples let go of unsent: the queue was full, or could not be written.",
            "counter",
            lambda one: one.dropped_samples_total,
        ),
    )
    for name, help_, kind, value in kinds if known else ():
        samples = tuple(({"remote_write": one.name}, float(value(one))) for one in known)
        yield Family(f"monitor_forward_{name}", help_, kind, samples)


def _judge(services: Services) -> Iterator[Family]:
    """What fires and pends, and whether anybody judges: age tells a judge that stands still."""
    if services.alerting is None:
        return
    judge = services.alerting.judge
    real = [alert.said for alert in judge.book.open.values() if not alert.said.is_drill]
    firing = Counter(said.severity for said in real)
    yield Family(
        "monitor_alerts_firing",
        "Alerts that fire, silenced and held back ones too; no drills.",
        "gauge",
        tuple(({"severity": one.value}, float(firing[one.value])) for one in Severity),
    )
    pending = sum(each.pending for each in judge.states())
    for name, help_, value in (
        ("monitor_alerts_pending", "Conditions that have not held long enough.", pending),
        ("monitor_rules", "Rules that are judged.", len(judge.rules)),
    ):
        yield Family.single(name, help_, "gauge", value)
    yield Family.single(
        "monitor_judge_transitions_total",
        "Alerts that began, changed or were over since the start.",
        "counter",
        judge.transitions_total,
    )
    if judge.judged_at:
        yield Family.single(
            "monitor_judge_age_seconds",
            "How long ago all rules were judged.",
            "gauge",
            max(0.0, services.clock() - judge.judged_at),
        )


def _notifications(services: Services) -> Iterator[Family]:
    """What became of what there was to tell, by channel; none without any."""
    known = services.notify.status() if services.notify is not None else ()
    kinds: tuple[tuple[str, str, Kind, Callable[[ChannelStatus], float]], ...] = (
        ("delivered", "Notifications that were taken.", "counter", lambda one: one.delivered),
        ("given_up", "Those that never will be.", "counter", lambda one: one.given_up),
        ("waiting", "Those that wait.", "gauge", lambda one: one.waiting),
    )
    for name, help_, kind, value in kinds if known else ():
        samples = tuple(({"channel": one.name}, float(value(one))) for one in known)
        suffix = "_total" if kind == "counter" else ""
        yield Family(f"monitor_notifications_{name}{suffix}", help_, kind, samples)


def _process() -> tuple[Family, ...]:
    process = psutil.Process()
    with process.oneshot():
        return (
            Family.single(
                "process_cpu_seconds_total",
                "Processor time of this program.",
                "counter",
                time.process_time(),
            ),
            Family.single(
                "process_resident_memory_bytes",
                "Its resident memory.",
                "gauge",
                process.memory_info().rss,
            ),
            Family.single("process_open_fds", "Its open descriptors.", "gauge", _descriptors()),
            Family.single(
                "process_start_time_seconds",
                "When it started, in unix seconds.",
                "gauge",
                process.create_time(),
            ),
        )


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd")) - 1  # noqa: PTH208 - one name each; less the list's own


def _by(name: str, help_: str, label: str, counts: Mapping[str, int]) -> Family:
    samples = tuple(({label: which}, float(counts[which])) for which in sorted(counts))
    return Family(name, help_, "counter", samples)
