"""It must be that each class is kept as long as is said, and no longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.log.retention import KEPT, prune
from monitor.model import RetentionClass
from tests.log.logs import KINDS, names, of, opened

NOW = 1_800_000_000.0


@pytest.mark.parametrize("kind", KINDS)
async def test_each_class_goes_at_its_own_age(kind: str, tmp_path: Path) -> None:
    async with opened(kind, tmp_path) as (log, _):
        for class_, kept in KEPT.items():
            await log.append(
                [
                    of(class_, f"{class_} old", at=NOW - kept.age_seconds - 1),
                    of(class_, f"{class_} new", at=NOW - kept.age_seconds + 1),
                ]
            )
        assert await prune(log, NOW) == len(RetentionClass)
        assert await prune(log, NOW) == 0
        _, last, floor = await log.read(await log.last(), None, 1)
        assert (last, floor) == (8, 7)
        assert names((await log.read(7, None, 10))[0]) == ["terminal new"]


def test_every_class_has_an_age_and_a_size() -> None:
    assert set(KEPT) == set(RetentionClass)
    assert all(kept.age_seconds > 0 and kept.most_bytes > 0 for kept in KEPT.values())
