"""What ``[scrape.NAME]`` may say: whom to poll, how often and within which bounds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from monitor.core.labels import few_labels, label_name, label_value
from monitor.core.quantity import Between, Bytes, Check, Seconds
from monitor.core.secret import Secret
from monitor.ingest.exposition_lines import MOST_BYTES, MOST_SAMPLES
from monitor.scrape.targets import MOST_TARGETS, target_text

SHORTEST_INTERVAL_SECONDS = 1.0
LONGEST_INTERVAL_SECONDS = 3_600.0
SHORTEST_TIMEOUT_SECONDS = 0.1


def few_targets(value: tuple[str, ...]) -> tuple[str, ...]:
    """So many targets and no more.  Raises `ValueError`."""
    if len(value) > MOST_TARGETS:
        raise ValueError(f"expected at most {MOST_TARGETS:,} targets, got {len(value):,}")
    return value


@dataclass(frozen=True, slots=True)
class ScrapeConfig:
    """One table of them."""

    targets: Annotated[tuple[Annotated[str, Check(target_text)], ...], Check(few_targets)] = ()
    """``HOST:PORT`` or URLs; without a path it is /metrics."""
    targets_file: Path | None = None
    """Files of targets in Prometheus' file_sd form, JSON; the name may be a glob."""
    interval: Annotated[Seconds, Between(SHORTEST_INTERVAL_SECONDS, LONGEST_INTERVAL_SECONDS)] = (
        15.0
    )
    """Time between two scrapes of a target, 1 s to 1 h."""
    timeout: Annotated[Seconds, Between(SHORTEST_TIMEOUT_SECONDS, LONGEST_INTERVAL_SECONDS)] = 10.0
    """How long one may take, connecting and all; never longer than the interval."""
    labels: Annotated[
        Mapping[Annotated[str, Check(label_name)], Annotated[str, Check(label_value)]],
        Check(few_labels),
    ] = field(default_factory=dict)
    """Labels of the hosts that are polled so."""
    max_body: Annotated[Bytes, Between(1_000, MOST_BYTES)] = MOST_BYTES
    """How large an answer may be, inflated."""
    max_samples: Annotated[int, Between(1, MOST_SAMPLES)] = MOST_SAMPLES
    """How many samples it may hold."""
    token: Secret | None = None
    """What is sent as ``Authorization: Bearer``."""
    tls_ca: Path | None = None
    """Authorities that are trusted beside the system's, as PEM."""

    @property
    def timeout_seconds(self) -> float:
        """How long a scrape may take, so that two never overlap."""
        return min(self.timeout, self.interval)

    def faults(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """What does not go together, by the keys that say it."""
        if not self.targets and self.targets_file is None:
            sentence = 'there is nobody to poll: say targets = ["web-1:9100"], or targets_file'
            yield ("targets",), sentence
        if self.tls_ca is not None and not self.tls_ca.is_file():
            yield ("tls_ca",), "expected a file of certificates that exists"
