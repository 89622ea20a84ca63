"""``/api/v1/history``: it must be that what was is answered as it was, bounded, or refused."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import AsyncIterator
from datetime import datetime
from urllib.parse import quote

import numpy as np
import pytest

from monitor.model import Snapshot
from monitor.ports import Buckets, Loss, SeriesBuckets, StoreWarning
from monitor.store.memory import MemoryStore
from tests.browser.rig import Rig
from tests.web.asking import NOW, House

NAN = math.nan
CPU = "system.cpu.utilization"
RANGE = f"start={NOW - 60:.0f}&end={NOW:.0f}&points=60"


@pytest.fixture
async def house() -> AsyncIterator[House]:
    """A served house without a past."""
    found = House(Rig("hub"))
    async with found.rig.serving(), found.client:
        yield found


async def fleet(house: House) -> None:
    """Three hosts of ten seconds, one of them with a gap."""
    await house.past("web-1", {CPU: [0.1] * 10}, {"role": "web", "env": "prod"})
    await house.past("web-2", {CPU: [0.3] * 5 + [NAN] * 5}, {"role": "web", "env": "dev"})
    await house.past("db-1", {CPU: [0.8] * 10}, {"role": "db"})


def hosts(answer: dict[str, list[dict[str, str]]]) -> list[str]:
    return [series["host"] for series in answer["series"]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("match=role=web", ["web-1", "web-2"]),
        ("match=role!=web", ["db-1"]),
        ("match=env!=dev", ["db-1", "web-1"]),
        ("match=role in (web, db), env!=dev, host=web-*", ["web-1"]),
        ("host=web-2&host=web-1", ["web-2", "web-1"]),
        ("host=web-1&host=db-1&match=role=web", ["web-1"]),
        ("host=db-1&match=role=web", []),
        ("match=role=nothing", []),
    ],
)
async def test_hosts_are_those_named_and_those_that_match_and_both_must_hold(
    house: House, query: str, expected: list[str]
) -> None:
    await fleet(house)
    answer = (await house.get(f"{query}&metric={CPU}&{RANGE}")).json()
    assert hosts(answer) == expected
    assert len(answer["t"]) == 60


async def test_a_name_is_all_its_series_and_no_other_names(house: House) -> None:
    columns = ["m", 'm{a="1"}', 'm{a="2"}', "m.x", "ma", 'mz{a="1"}', "M"]
    await house.past("web-1", {text: [1.0] * 9 for text in columns})
    answer = (await house.get(f"host=web-1&metric=m&metric=ma&{RANGE}")).json()
    assert [series["key"] for series in answer["series"]] == ["m", 'm{a="1"}', 'm{a="2"}', "ma"]
    key = quote('m{a="2"}')
    answer = (await house.get(f"host=web-1&metric={key}&metric={key}&{RANGE}")).json()
    assert [series["key"] for series in answer["series"]] == ['m{a="2"}']


@pytest.mark.parametrize(
    ("aggregate", "first", "last"),
    [
        ("avg", 0.4, 0.45),
        ("max", 0.8, 0.8),
        ("min", 0.1, 0.1),
        ("sum", 1.2, 0.9),
        ("p50", 0.3, 0.45),
    ],
)
async def test_an_aggregate_is_over_the_hosts_that_have_something_in_a_bucket(
    house: House, aggregate: str, first: float, last: float
) -> None:
    await fleet(house)
    query = f"match=host=*&metric={CPU}&aggregate={aggregate}&{RANGE}"
    (series,) = (await house.get(query)).json()["series"]
    assert (series["host"], series["key"]) == ("", CPU)
    assert (series["labels"], series["hosts"]) == ({}, 3)
    for part in ("min", "avg", "max"):
        assert series[part][0] == pytest.approx(first)
        assert series[part][9] == pytest.approx(last)
        assert series[part][10:] == [None] * 50


async def test_minima_averages_and_maxima_are_aggregated_each_for_itself(house: House) -> None:
    await house.past("a", {CPU: [0.0, 1.0] * 5})
    await house.past("b", {CPU: [4.0, 6.0] * 5})
    query = f"host=a&host=b&metric={CPU}&aggregate=avg&start=-60s&points=6"
    (series,) = (await house.get(query)).json()["series"]
    assert [series[part][0] for part in ("min", "avg", "max")] == [2.0, 2.75, 3.5]


async def test_by_makes_a_series_for_each_value_of_a_label_and_key(house: House) -> None:
    await fleet(house)
    await house.past("bare", {CPU: [0.5] * 10, "m": [1.0] * 10})
    query = f"match=host=*&metric={CPU}&metric=m&aggregate=max&by=role&{RANGE}"
    series = (await house.get(query)).json()["series"]
    told = [(one["key"], one["labels"], one["hosts"], one["max"][0]) for one in series]
    assert told == [
        ("m", {"role": ""}, 1, 1.0),
        (CPU, {"role": ""}, 1, 0.5),
        (CPU, {"role": "db"}, 1, 0.8),
        (CPU, {"role": "web"}, 2, 0.3),
    ]
    by_host = f"match=role=web&metric={CPU}&aggregate=max&by=host&{RANGE}"
    series = (await house.get(by_host)).json()["series"]
    assert [one["labels"] for one in series] == [{"host": "web-1"}, {"host": "web-2"}]


class Worn(MemoryStore):
    """A store that has rolled up what it has, and lost a part of it."""

    async def series(self, host: str) -> tuple[str, ...]:
        return ("m",)

    async def range(self, *_: object, **__: object) -> Buckets:
        lost = Loss("web-1", 60.0, 120.0, "a chunk is damaged")
        values = np.array([math.inf, NAN])
        series = SeriesBuckets("web-1", "m", values, values, values)
        return Buckets(np.array([0.0, 60.0]), 60.0, (series,), 15.0, (lost,))


async def test_it_says_how_fine_it_is_and_what_was_lost() -> None:
    house = House(Rig("hub"))
    house.keep(Worn())
    house.rig.state.label("web-1", {})
    async with house.rig.serving(), house.client:
        answer = (await house.get("host=web-1&metric=m")).json()
        assert (answer["t"], answer["step"], answer["source"]) == ([0.0, 60.0], 60.0, 15.0)
        lost = {"host": "web-1", "start": 60.0, "end": 120.0, "reason": "a chunk is damaged"}
        assert answer["losses"] == [lost]
        # JSON has no infinity; it is a gap there, and in CSV.
        assert answer["series"][0]["max"] == [None, None]
        text = (await house.get("host=web-1&metric=m&format=csv")).text
        assert text.splitlines()[1] == "1970-01-01T00:00:00Z,web-1,m,,,"


async def test_of_what_is_read_whole_the_source_is_the_frames_themselves(house: House) -> None:
    await fleet(house)
    answer = (await house.get(f"host=db-1&metric={CPU}&{RANGE}")).json()
    assert (answer["step"], answer["source"], answer["losses"]) == (1.0, 0.0, [])
    (series,) = answer["series"]
    assert set(series) == {"host", "key", "min", "avg", "max"}


@pytest.mark.parametrize("points", [1, 2, 59, 11_000])
async def test_there_are_never_more_buckets_than_asked_for(house: House, points: int) -> None:
    await fleet(house)
    for start in ("-61s", "-3601s", "0", "2001-02-03T04:05:06Z"):
        query = f"host=db-1&metric={CPU}&start={start}&points={points}"
        answer = (await house.get(query)).json()
        assert 1 <= len(answer["t"]) <= points
        (series,) = answer["series"]
        assert {len(series[part]) for part in ("min", "avg", "max")} == {len(answer["t"])}


async def test_the_default_is_the_last_hour_in_300_points_and_times_are_written_any_way(
    house: House,
) -> None:
    await fleet(house)
    asked = f"host=db-1&metric={CPU}"
    plain = (await house.get(asked)).json()
    assert NOW - 3_600 - plain["step"] < plain["t"][0] <= NOW - 3_600
    assert 200 < len(plain["t"]) <= 300
    for written in (
        "start=-1h",
        f"start={NOW - 3600:.0f}&end={NOW:.0f}",
        "start=2027-01-15T07:00:00Z&end=2027-01-15T08:00:00Z",
        "start=2027-01-15T08:00:00%2B01:00",
        "start=2027-01-15T08:00:00+01:00&points=300",
    ):
        assert (await house.get(f"{asked}&{written}")).json() == plain


async def test_counters_come_as_rates_and_raw_as_counts(house: House) -> None:
    await house.past("web-1", {'system.cpu.time{cpu="0"}': [5.0 * n for n in range(60)]})
    asked = f"host=web-1&metric=system.cpu.time&{RANGE}"
    (rate,) = (await house.get(asked)).json()["series"]
    (count,) = (await house.get(f"{asked}&raw=1")).json()["series"]
    assert rate["avg"][1:] == [5.0] * 59
    assert count["avg"] == [5.0 * n for n in range(60)]


async def test_csv_is_exactly_this(house: House) -> None:
    key = 'm{path="a,b"}'
    await house.past("-web", {key: [-1.5, NAN, 2.0]}, before=3)
    answer = await house.get(f"host=-web&metric=m&start={NOW - 3:.0f}&points=3&format=csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    name = "history--web-20270115T075957Z-20270115T080000Z.csv"
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
    assert answer.content == (
        b"time,host,key,min,avg,max\r\n"
        b'2027-01-15T07:59:57Z,\'-web,"m{path=""a,b""}",-1.5,-1.5,-1.5\r\n'
        b'2027-01-15T07:59:58Z,\'-web,"m{path=""a,b""}",,,\r\n'
        b'2027-01-15T07:59:59Z,\'-web,"m{path=""a,b""}",2.0,2.0,2.0\r\n'
    )


async def test_csv_says_the_same_as_json(house: House) -> None:
    await fleet(house)
    for query in (
        f"match=role=web&metric={CPU}&{RANGE}",
        f"match=host=*&metric={CPU}&aggregate=p95&by=role&{RANGE}",
    ):
        answer = (await house.get(query)).json()
        text = (await house.get(query + "&format=csv")).text
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
        at = [datetime.fromisoformat(row["time"]).timestamp() for row in rows]
        assert at == answer["t"] * len(answer["series"])
        for part in ("min", "avg", "max"):
            found = [float(row[part]) if row[part] else None for row in rows]
            assert found == [value for series in answer["series"] for value in series[part]]
        if "by=" in query:
            assert [row["role"] for row in rows[::60]] == ["db", "web"]


async def test_json_is_a_download_where_it_is_wanted(house: House) -> None:
    await fleet(house)
    query = f"match=role=web&metric={CPU}&{RANGE}"
    plain = await house.get(query)
    kept = await house.get(query + "&format=json&download=1")
    assert "content-disposition" not in plain.headers
    name = "history-20270115T075900Z-20270115T080000Z.json"
    assert kept.headers["content-disposition"] == f'attachment; filename="{name}"'
    assert kept.json() == plain.json()


async def test_head_says_the_same_without_a_body(house: House) -> None:
    await fleet(house)
    for form in ("json", "csv"):
        url = f"{house.rig.url}/api/v1/history?host=db-1&metric={CPU}&format={form}"
        answer = await house.client.head(url)
        assert (answer.status_code, answer.content) == (200, b"")


async def test_markers_are_reboots_and_starts_of_this_server(house: House) -> None:
    up = [5_000.0 + n for n in range(1_000)] + [NAN] * 90 + [float(n) for n in range(30, 1_000)]
    await house.past("web-1", {"system.uptime": up}, before=3_000)
    began = [float(n) for n in range(500)] + [float(n) for n in range(5, 505)]
    await house.past("hub", {'process.uptime{process="monitor"}': began}, before=1_200)
    path = "/api/v1/hosts/web-1/markers"
    boot, *starts = (await house.get("start=-1h", path)).json()
    assert (boot["kind"], boot["text"]) == ("reboot", "web-1 booted")
    assert boot["at"] == pytest.approx(NOW - 3_000 + 1_060, abs=5)
    assert {marker["kind"] for marker in starts} == {"server_start"}
    assert [marker["at"] for marker in starts] == [
        pytest.approx(NOW - 1_200, abs=5),
        pytest.approx(NOW - 705, abs=5),
    ]
    assert (await house.get(f"start=-10m&end={NOW:.0f}", path)).json() == []
    assert (await house.refused("start=5&end=4", path))["code"] == "bad_range"
    assert (await house.refused("points=4", path))["code"] == "unknown_param"
    nobody = await house.refused("", "/api/v1/hosts/nobody/markers")
    assert (nobody["status"], nobody["code"]) == (404, "unknown_host")


async def test_processes_at_an_instant_are_the_table_of_then_with_its_own_instant(
    house: House,
) -> None:
    tables = [Snapshot("web-1", NOW - ago, "processes", ({"pid": ago},)) for ago in (50, 40)]
    await house.rig.store.append([], tables)
    house.rig.state.label("web-1", {})
    path = "/api/v1/hosts/web-1/processes"
    table = (await house.get(f"at={NOW - 41:.0f}", path)).json()
    assert table == {"host": "web-1", "at": NOW - 50, "processes": [{"pid": 50}]}
    assert (await house.get(f"at={NOW - 40:.0f}", path)).json()["at"] == NOW - 40
    assert (await house.get("at=2099-01-01", path)).json()["at"] == NOW - 40
    early = await house.refused("at=-51s", path)
    assert (early["status"], early["code"]) == (404, "no_snapshot")


async def test_metrics_say_how_many_warnings_the_store_has() -> None:
    class Worried(MemoryStore):
        def warnings(self) -> tuple[StoreWarning, ...]:
            return (StoreWarning("space", "the disk is nearly full"),) * 2

    house = House(Rig("hub"))
    house.keep(Worried())
    async with house.rig.serving(), house.client:
        lines = (await house.get("", "/metrics")).text.splitlines()
    assert "monitor_store_warnings 2" in lines


async def test_the_document_has_every_parameter_and_both_formats(house: House) -> None:
    paths = (await house.get("", "/api/v1/openapi.json")).json()["paths"]
    described = paths["/api/v1/history"]["get"]
    parameters = {each["name"]: each for each in described["parameters"]}
    assert set(parameters) == {
        *("metric", "host", "match", "aggregate", "by", "start", "end", "points", "raw"),
        *("format", "download"),
    }
    assert parameters["format"]["schema"] == {"type": "string", "enum": ["json", "csv"]}
    assert parameters["host"]["schema"]["type"] == "array"
    assert set(described["responses"]["200"]["content"]) == {"application/json", "text/csv"}
    assert {"400", "503"} <= set(described["responses"])
    assert "/api/v1/hosts/{host}/markers" in paths
