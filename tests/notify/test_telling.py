"""What a notification says, from the log: it must be what stood there, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.core.messages import event
from monitor.notify import telling
from monitor.notify.keeping import Frozen
from tests.log.logs import opened
from tests.notify.alerts import said

COUNT = 100


def frozen(*members: tuple[str, int, int]) -> Frozen:
    """A notification of these alerts, by their first and newest positions."""
    kept = tuple((id_, first, newest, 1_000.0, 0.0, 0) for id_, first, newest in members)
    return Frozen("key", 1_001.0, kept, 3, {"rule": "r"}, False, False, ("g",), 0, 4)


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_a_notification_says_what_stands_at_its_positions(kind: str, tmp_path: Path) -> None:
    async with opened(kind, tmp_path) as (log, _):
        for number in range(COUNT):
            evidence = {"number": number}
            made = said(f"a{number}", f"web-{number}", evidence=evidence, value=float(number))
            await log.append([event(made, 1_000.0, f"e{number}")])
        members = [(f"a{number}", number + 1, number + 1) for number in (0, 5, 98)]
        found = await telling.notification(log, "phone", frozen(*members))
        assert found is not None
        assert [each.alert.value for each in found.told] == [0.0, 5.0, 98.0]
        assert [each.alert.evidence for each in found.told] == [
            {"number": 0},
            {"number": 5},
            {"number": 98},
        ]
        assert (found.key, found.left_out, found.attempt) == ("key", 3, 5)
        again = await telling.notification(log, "phone", frozen(*members))
        assert again == found

        many = [(f"a{number}", number + 1, number + 1) for number in range(40)]
        found = await telling.notification(log, "phone", frozen(*many))
        assert found is not None
        with_evidence = [each.alert.alert for each in found.told if each.alert.evidence]
        assert with_evidence == [f"a{number}" for number in range(telling.MOST_WITH_EVIDENCE)]

        # What is not what it was is not told as if it were.
        gone = frozen(("a0", 1, 1), ("other", 2, 2), ("a7", 8, 5_000))
        found = await telling.notification(log, "phone", gone)
        assert found is not None
        assert [each.alert.alert for each in found.told] == ["a0"]
        assert found.left_out == 5
        assert await telling.notification(log, "phone", frozen(("other", 2, 2))) is None

        await log.erase("host:web-5")
        found = await telling.notification(log, "phone", frozen(*members))
        assert found is not None
        assert [each.alert.alert for each in found.told] == ["a0", "a98"], "others are still there"


async def test_an_alert_is_read_without_its_evidence(tmp_path: Path) -> None:
    async with opened("memory", tmp_path) as (log, _):
        await log.append([event(said("a1", evidence={"much": 1}), 1_000.0, "e1")])
        found = await telling.alerts_at(log, [1, 7])
        assert found[1].id == "a1"
        assert found[1].said.evidence is None
        assert found.keys() == {1}
