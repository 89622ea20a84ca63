"""What the answer to a post means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.agent.link import Cut, Problem

if TYPE_CHECKING:
    from monitor.agent.posting import Answer

PUSH_PATH = "/api/v1/push"

_PASSING = frozenset({408, 429, 500, 502, 503, 504, 507})


def judged(answer: Answer) -> Problem | bool | None:
    """The problem of a refused document; else whether somebody looks, none where it is not said.

    Raises `Cut` where the answer is nobody's we know.
    """
    if 200 <= answer.status < 300:
        watched = answer.said.get("watched")
        return watched if isinstance(watched, bool) else None
    problem = Problem.read(answer.status, answer.headers, answer.body)
    if problem is not None:
        return problem
    if answer.status in _PASSING:  # a proxy's word, whose own says when to come back
        detail = f"it answers with status {answer.status}"
        told = {"status": answer.status, "code": "unavailable", "detail": detail}
        return Problem.of(told, retry_after=answer.headers.get("retry-after", ""))
    if 300 <= answer.status < 400:
        raise Cut("it redirects to another address, which is not followed: name the right one")
    raise Cut(f"it answers a push with status {answer.status} and is no server of ours")
