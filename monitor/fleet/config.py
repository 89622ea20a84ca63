"""What ``[hosts."glob"]`` may say: the operator's word on hosts, whatever they say themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from monitor.core.labels import few_labels, label_name, label_value
from monitor.core.quantity import Check


@dataclass(frozen=True, slots=True)
class HostsConfig:
    """One table of them; where several globs name a host, the later one wins, key by key."""

    labels: Annotated[
        Mapping[Annotated[str, Check(label_name)], Annotated[str, Check(label_value)]],
        Check(few_labels),
    ] = field(default_factory=dict)
    """They win over the host's own."""
    trust_labels: bool | None = None
    """Whether the host's own labels, too, decide who sees it and who is told of it."""
    ephemeral: bool | None = None
    """Whether such a host retires where another goes down."""
