"""It must be that what is said of how long history lasts is what retention then does."""

from __future__ import annotations

import contextlib
import random
import zlib
from pathlib import Path

import pytest

from monitor import capacity
from monitor.care import files
from monitor.config import Settings
from monitor.store.config import RetentionConfig
from monitor.store.lasting import estimated, figures, lasting, measured
from tests.store.series_rows import DAY, HOUR, NOW, chunk, connected, filled, host, table

CONFIG = RetentionConfig()


@pytest.mark.parametrize("seed", range(40))
def test_tiers_last_to_their_age_or_until_all_is_full(seed: int) -> None:
    drawn = random.Random(seed)
    rates = [10 ** drawn.uniform(0, 6) for _ in range(6)]
    found = lasting(rates, CONFIG)
    total = sum(rate * each.seconds for rate, each in zip(rates, found, strict=True))
    ages = (*CONFIG.ages, CONFIG.raw)
    assert all(each.seconds <= age for each, age in zip(found, ages, strict=True))
    assert total <= CONFIG.size * (1 + 1e-9)
    if any(each.by_size for each in found):
        assert total == pytest.approx(CONFIG.size)
    assert all(each.by_size or each.seconds == age for each, age in zip(found, ages, strict=True))


def test_one_host_lasts_to_its_ages_and_a_thousand_as_far_as_the_size_goes() -> None:
    """It must be that the defaults are what their reasons say."""
    one = lasting(estimated(1, 370, 1.0), CONFIG)
    assert not any(each.by_size for each in one)
    many = lasting(estimated(1000, 370_000, 1.0), CONFIG)
    assert all(each.by_size for each in many)
    assert [round(each.seconds / HOUR) for each in many[:2]] == [9, 12]
    assert many[4].seconds > 120 * DAY
    assert [each.seconds for each in many[:5]] == sorted(each.seconds for each in many[:5])


def store(folder: Path, hosts: int = 2) -> None:
    """Some days of hosts of three series each."""
    with contextlib.closing(connected(folder)) as connection:
        connection.execute(
            "INSERT INTO schemas (id, digest, keys) VALUES (1, x'00', ?)",
            (zlib.compress(b"a\nb\nc"),),
        )
        for number in range(1, hosts + 1):
            filled(connection, (2 * DAY, 4 * DAY, 4 * DAY, 30 * DAY, 60 * DAY), of=number)
        table(connection, NOW - 2 * DAY)
        table(connection, NOW)
        host(connection, 99)


def test_a_store_is_measured_by_what_it_holds(tmp_path: Path) -> None:
    store(tmp_path)
    with contextlib.closing(files.opened(tmp_path / "series.db")) as connection:
        found = figures(connection)
    assert (found.hosts, found.series) == (3, 6)
    assert found.rows[0] == 2 * 48
    assert found.sizes[0] == 2 * 48 * 100
    rates = measured(found, [1e9] * 6)
    assert rates[0] == pytest.approx(9_600 / (2 * DAY - 1))
    # The coarsest spans 84 days in whole chunks, the last of which ends now.
    assert rates[4] == pytest.approx(found.sizes[4] / (found.lasts[4] - found.firsts[4] + 7_200))


def test_a_young_store_is_not_measured(tmp_path: Path) -> None:
    with contextlib.closing(connected(tmp_path)) as connection:
        host(connection, 1)
        keys = zlib.compress(b"a\nb")
        connection.execute("INSERT INTO schemas (id, digest, keys) VALUES (3, x'00', ?)", (keys,))
        connection.execute("INSERT INTO host_schemas VALUES (1, 3)")
        assert figures(connection).series == 2
        chunk(connection, 0, NOW, NOW + HOUR)
        chunk(connection, 4, NOW, NOW + 20 * HOUR)
        assert measured(figures(connection), [7.0] * 6) == [7.0] * 6


async def said(folder: Path, config: RetentionConfig = CONFIG) -> list[str]:
    """What `monitor config check` says of a data directory."""
    return await capacity.history_lasts(Settings(retention=config), folder)


async def test_the_check_speaks_of_the_store_that_there_is(tmp_path: Path) -> None:
    """It must be that it does so beside a server that has it open, too."""
    store(tmp_path)
    with contextlib.closing(connected(tmp_path)):
        heading, *tiers = await said(tmp_path)
    assert heading == (
        "# History of 3 hosts with 6 series every 1s, by what series.db gathered in 1d 23h of raw"
        " rows:"
    )
    assert tiers[0] == "#   raw for 2d, by age; 9.6kB, 4.8kB a day"


async def test_the_check_says_which_tier_the_size_ends(tmp_path: Path) -> None:
    store(tmp_path)
    with contextlib.closing(connected(tmp_path)) as connection:
        for keep in range(5):
            connection.execute("UPDATE totals SET bytes = bytes * 1000000 WHERE keep = ?", (keep,))
    _, *tiers = await said(tmp_path)
    assert any("by size: its part of 20GB is full before 90d" in line for line in tiers)
    assert tiers[-1].endswith("by age; 200B, 100B a day")


@pytest.mark.parametrize("body", [b"", b"nonsense" * 1_000, None])
async def test_the_check_estimates_where_there_is_no_store(
    tmp_path: Path, body: bytes | None
) -> None:
    if body is not None:
        (tmp_path / "series.db").write_bytes(body)
    heading, *_ = await said(tmp_path)
    assert "# History of 1 host with " in heading
    assert heading.endswith("every 1s, by an estimate:")
