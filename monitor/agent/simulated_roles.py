"""What simulated hosts are for, and how their days go.

Tables and one curve; whoever lives by them is in `monitor.agent.simulated`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

DAY_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class Role:
    """How hosts of one kind live: ratios, and rates at full load."""

    name: str
    quiet: float
    """How busy it is in the quietest hour."""
    busy: float
    """And in the busiest."""
    peak_hour: float
    noise: float
    memory_gib: float
    memory_ratio: float
    network_bytes: float
    disk_bytes: float
    processes: tuple[tuple[str, str, float], ...]
    """Command, user, and its share of the processors."""


ROLES = (
    Role(
        "web",
        0.08,
        0.62,
        14.0,
        0.10,
        8.0,
        0.45,
        9e7,
        2e6,
        (
            ("nginx: worker process", "www-data", 0.45),
            ("php-fpm: pool www", "www-data", 0.40),
        ),
    ),
    Role(
        "api",
        0.12,
        0.55,
        15.0,
        0.12,
        16.0,
        0.55,
        4e7,
        1e6,
        (
            ("/usr/bin/python3 -m app --port 8000", "app", 0.80),
            ("/usr/bin/envoy -c /etc/envoy.yaml", "envoy", 0.10),
        ),
    ),
    Role(
        "db",
        0.15,
        0.48,
        13.0,
        0.08,
        64.0,
        0.78,
        2e7,
        6e7,
        (
            ("postgres: writer process", "postgres", 0.25),
            ("postgres: app app 10.0.0.7 SELECT", "postgres", 0.60),
        ),
    ),
    Role(
        "cache",
        0.05,
        0.30,
        14.5,
        0.06,
        32.0,
        0.82,
        1.2e8,
        2e5,
        (("/usr/bin/redis-server 0.0.0.0:6379", "redis", 0.90),),
    ),
    Role(
        "batch",
        0.02,
        0.95,
        3.0,
        0.20,
        16.0,
        0.35,
        1e7,
        9e7,
        (("/usr/bin/java -jar /srv/batch.jar", "batch", 0.92),),
    ),
    Role(
        "backup",
        0.01,
        0.40,
        2.0,
        0.10,
        4.0,
        0.30,
        6e7,
        1.5e8,
        (("borg create /srv/backup::{now}", "root", 0.85),),
    ),
)

SMALL = (
    ("/lib/systemd/systemd --system", "root", 0.002),
    ("sshd: /usr/sbin/sshd -D", "root", 0.001),
    ("/usr/sbin/cron -f", "root", 0.0005),
    ("/lib/systemd/systemd-journald", "root", 0.004),
    ("/usr/sbin/chronyd", "_chrony", 0.0003),
)
"""What runs everywhere."""


def busyness(role: Role, at: float) -> float:
    """How busy a host of this role is at this time of the day, 0 to 1, without noise."""
    hours = (at % DAY_SECONDS) / 3_600.0 - role.peak_hour
    # Raised to a power, the day has a shoulder and not only a hill.
    wave = math.pow(0.5 + 0.5 * math.cos(hours * math.pi / 12.0), 1.6)
    weekend = 0.55 if int(at // DAY_SECONDS + 4) % 7 in (0, 6) else 1.0
    return role.quiet + (role.busy - role.quiet) * wave * weekend
