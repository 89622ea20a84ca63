"""What becomes of samples: KEYs of the catalog, names of their own, and how they are summed."""

from __future__ import annotations

import math

import numpy as np

from monitor.core.catalog import METRICS
from monitor.core.prometheus_names import exported
from monitor.ingest.exposition_lines import Series
from monitor.model import SeriesKey
from monitor.scrape.plan import planned


def series(name: str, **labels: str) -> Series:
    return Series(name, tuple(sorted(labels.items())))


def values(*samples: tuple[Series, float]) -> dict[str, float]:
    plan = planned([each for each, _ in samples], {"job": "node"})
    found = plan.values(np.array([value for _, value in samples])).tolist()
    return dict(zip(plan.keys, found, strict=True))


def test_what_our_own_agents_say_comes_back_as_it_was() -> None:
    """It must be so for every metric of the catalog with all of its attributes."""
    keys = [SeriesKey.of(m.name, **dict.fromkeys(m.attributes, "x")) for m in METRICS]
    told = [Series(*exported(key)) for key in keys]
    assert planned(told, {"job": "agent"}).keys == tuple(map(str, keys))


def test_one_of_its_names_with_labels_that_it_has_not_is_somebody_elses() -> None:
    """It must be that a fleet that is scraped whole does not pass for one host."""
    found = values((series("system_uptime_seconds", host="web-1"), 5.0))
    assert found == {'system_uptime_seconds{exported_host="web-1",job="node"}': 5}


def test_samples_of_one_key_are_summed() -> None:
    found = values(
        (series("node_softnet_dropped_total", cpu="0"), 3.0),
        (series("node_softnet_dropped_total", cpu="1"), 4.0),
        (series("node_vmstat_pgfault"), 10.0),
        (series("node_vmstat_pgmajfault"), 4.0),
        (series("node_network_speed_bytes", device="eth0"), -125000.0),
        (series("node_network_speed_bytes", device="eth1"), 125e6),
        (series("node_md_disks_required", device="md0"), 2.0),
        (series("node_md_disks", device="md0", state="active"), 1.0),
        (series("node_load1"), math.inf),
        (series("a"), math.nan),
    )
    assert found["system.network.softnet.dropped"] == 7
    assert found['system.paging.faults{kind="minor"}'] == 6
    assert math.isnan(found['system.network.speed{interface="eth0"}'])
    assert found['system.network.speed{interface="eth1"}'] == 1e9
    assert found['system.linux.raid.degraded{device="md0"}'] == 1
    assert math.isnan(found["system.cpu.load_average.1m"])
    assert math.isnan(found['a{job="node"}'])


def test_what_makes_no_key_is_counted() -> None:
    """It must be that a name with a blank is left out, and two series that became one are one."""
    told = [
        series("a b"),
        series("c", **{"d e": "f"}),
        series("g", job="1"),
        series("g", exported_job="1"),
    ]
    plan = planned(told, {"job": "node"})
    assert (plan.keys, plan.refused) == (('g{exported_job="1",job="node"}',), 3)


def test_nothing_makes_an_empty_plan() -> None:
    plan = planned([], {})
    assert (plan.keys, plan.values(np.empty(0)).tolist()) == ((), [])


def test_what_is_only_derived_from_is_not_stored() -> None:
    root = {"device": "/dev/vda", "fstype": "ext4", "mountpoint": "/"}
    plan = planned(
        [
            series("node_filesystem_free_bytes", **root),
            series("node_filesystem_size_bytes", **root),
        ],
        {},
    )
    stored = [plan.keys[number] for number in plan.stored.tolist()]
    assert stored == ['system.filesystem.limit{mountpoint="/"}']
    assert len(plan.wanted) == 2
