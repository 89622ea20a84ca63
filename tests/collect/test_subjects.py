"""The list of subjects.  Every name finishes the sentence "it must be that …"."""

from __future__ import annotations

import math
import re
import time
from pathlib import Path

import pytest

from monitor.collect import subjects
from monitor.collect.config import CollectConfig
from monitor.collect.subjects import COLLECTOR_NAMES, COLLECTORS, build
from monitor.core.catalog import CATALOG
from monitor.errors import Absent
from monitor.model import SeriesKey


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_the_names_are_the_collectors_own(platform: str) -> None:
    collectors = build(CollectConfig(), platform)
    names = [collector.name for collector in collectors]
    assert len(set(names)) == len(names)
    assert set(names) <= set(COLLECTOR_NAMES)
    assert ("portable" in names) == (platform != "linux")
    for collector in collectors:
        assert collector.interval_seconds >= 0
        assert collector.budget_seconds > 0
        collector.close()


@pytest.mark.parametrize("name", COLLECTOR_NAMES)
def test_what_is_disabled_is_left_out(name: str) -> None:
    for platform in ("linux", "darwin"):
        config = CollectConfig(disabled=(name, "unknown"))
        assert name not in [collector.name for collector in build(config, platform)]


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_every_value_of_this_host_is_in_the_catalog(platform: str) -> None:
    """With the attributes that the catalog names, and the same KEYs in the same order again."""
    seen: dict[str, str] = {}
    for collector in build(CollectConfig(), platform):
        try:
            first = collector.collect(time.time())
            second = collector.collect(time.time())
        except Absent:
            continue
        finally:
            collector.close()
        if collector.name != "cgroups":
            assert list(first.values) == list(second.values), collector.name
        for text, value in second.values.items():
            found = SeriesKey.parse(text)
            metric = CATALOG[found.name]
            assert {name for name, _ in found.attributes} <= set(metric.attributes), text
            assert isinstance(value, float), text
            assert not math.isinf(value), text
            assert seen.setdefault(text, collector.name) == collector.name


def test_every_linux_collector_is_listed_once() -> None:
    folder = Path(subjects.__file__).parent
    written = [
        name
        for file in folder.glob("*.py")
        if not file.name.startswith("portable")
        for name in re.findall(r'^    name = "(\w+)"$', file.read_text(), re.MULTILINE)
    ]
    assert len(written) > 20
    assert sorted(name for name, _ in COLLECTORS) == sorted(written)
