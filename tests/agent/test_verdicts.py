"""What follows from a refusal.  Every name finishes the sentence "it must be that …"."""

from __future__ import annotations

import pytest

from monitor.agent.link import Problem
from monitor.agent.verdicts import (
    Drop,
    Halve,
    HangUp,
    Later,
    Renumber,
    SendList,
    Verdict,
    WithoutFrame,
    WithoutTables,
    judge,
)


@pytest.mark.parametrize(
    ("problem", "frames", "verdict"),
    [
        (Problem("unknown_schema", status=409), 1, SendList()),
        (Problem("seq_conflict", status=409), 1, Renumber()),
        (Problem("too_old", status=400, field="frames[2].at"), 5, WithoutFrame(2)),
        (Problem("bad_time", status=400, field="frames[0].at"), 1, Drop()),
        (Problem("bad_time", status=400, field="frames[7].at"), 5, Halve()),
        (Problem("too_many_requests", status=429, retry_after=3.0), 5, Later(3.0)),
        (Problem("unavailable", status=503), 5, Later(2.0)),
        (Problem("disk_full", status=507, retry_after=30.0), 1, Later(30.0)),
        (Problem("too_many_samples", status=413, field="frames"), 60, Halve()),
        (Problem("series_limit", status=400, field="schema"), 1, Drop()),
        (Problem("unknown_snapshot", status=400, field="snapshots.x"), 1, WithoutTables()),
        (Problem("host_taken", status=409), 1, HangUp()),
        (Problem("own_host", status=409), 1, HangUp()),
        (Problem("auth_required", status=401), 1, HangUp()),
        (Problem("host_mismatch", status=403), 1, HangUp()),
        (Problem("schema_version", status=400, field="protocol"), 1, HangUp()),
        (Problem("unsupported_media_type", status=415), 1, HangUp()),
    ],
    ids=lambda value: value.code if isinstance(value, Problem) else None,
)
def test_each_refusal_has_its_answer(problem: Problem, frames: int, verdict: Verdict) -> None:
    assert judge(problem, frames, has_tables=True) == verdict


def test_a_refused_table_is_left_out_only_if_there_is_one() -> None:
    problem = Problem("unknown_snapshot", status=400, field="snapshots.x")
    assert judge(problem, 1, has_tables=False) == Drop()


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ({}, None),
        ({"retry_after": 5}, 5.0),
        ({"retry_after": "soon"}, None),
        ({"retry_after": -1}, 0.0),
        ({"retry_after": 1e300}, 3600.0),
        ({"retry_after": None}, None),
    ],
    ids=["none", "seconds", "text", "negative", "huge", "null"],
)
def test_a_servers_wish_to_wait_is_bounded(said: dict[str, object], seconds: float | None) -> None:
    assert Problem.of(said).retry_after == seconds


def test_what_a_problem_says_is_printable_and_short() -> None:
    problem = Problem.of({"code": "a\nb" * 99, "detail": "x\x1b[2J\n" * 999, "status": "400"})
    assert problem.detail.isprintable()
    assert problem.code.isprintable()
    assert len(problem.detail) <= 512
    assert problem.status == 0
