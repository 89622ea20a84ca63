"""Shares of the limit of open files.  Every name finishes the sentence "it must be that …"."""

from __future__ import annotations

import resource

import pytest

from monitor.collect.descriptors_budget import (
    CGROUPS_SHARE,
    MOST_KEPT,
    PROCESSES_SHARE,
    kept_limit,
)


@pytest.mark.parametrize(
    ("soft", "processes", "groups"),
    [
        (1024, 128, 64),
        (0, 0, 0),
        (10**9, MOST_KEPT, MOST_KEPT),
        (resource.RLIM_INFINITY, MOST_KEPT, MOST_KEPT),
    ],
)
def test_all_that_is_kept_stays_under_a_quarter(
    soft: int, processes: int, groups: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, soft))
    assert kept_limit(PROCESSES_SHARE) == processes
    assert kept_limit(CGROUPS_SHARE) == groups
    assert 1 / PROCESSES_SHARE + 1 / CGROUPS_SHARE < 1 / 4
