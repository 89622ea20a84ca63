"""What is done less often than each tick.

Every name finishes the sentence "it must be that …".
"""

from __future__ import annotations

from monitor.collect.pace import Every


def test_it_is_due_first_then_after_so_many_seconds_and_when_the_clock_went_back() -> None:
    every = Every(10.0)
    asked = [(100.0, True), (101.0, False), (109.9, False), (110.0, True), (111.0, False)]
    for now, due in [*asked, (50.0, True), (51.0, False)]:
        assert every.due(now) is due
