"""What `make audit` makes of an answer: it must be that no answer is no good news."""

from __future__ import annotations

import json

import pytest

from tools.audit import CLEAN, FOUND, NOT_ASKED, judged

GOOD = {"name": "a", "version": "1", "vulns": []}
BAD = {"name": "b", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["3"]}]}
SKIPPED = {"name": "c", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("requirements", "status"),
    [
        ([GOOD], CLEAN),
        ([GOOD, BAD], FOUND),
        ([BAD, SKIPPED], FOUND),
        ([GOOD, SKIPPED], NOT_ASKED),
        ([SKIPPED], NOT_ASKED),
        ([], NOT_ASKED),
    ],
)
def test_only_a_whole_answer_is_good_news(
    requirements: list[dict[str, object]], status: int
) -> None:
    verdict = judged(json.dumps({"dependencies": requirements}))
    assert verdict.status == status
    assert verdict.not_asked == ["c"] * (SKIPPED in requirements)


@pytest.mark.parametrize("answer", ["", "Traceback", "[]", "{}", "null"])
def test_no_answer_is_none(answer: str) -> None:
    assert judged(answer).status == NOT_ASKED


def test_a_vulnerability_is_told_with_its_way_out() -> None:
    verdict = judged(json.dumps({"dependencies": [BAD]}))
    assert verdict.found == ["b 2: CVE-1 (fixed in 3)"]
