"""The agent's token.  Every name finishes the sentence "it must be that …"."""

from __future__ import annotations

import json
import stat
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from monitor.agent.link import Cut, Link, Refused
from monitor.agent.place import Place
from monitor.agent.tokens import Tokens, read_token
from monitor.agent.trust import Trust
from monitor.errors import ConfigError

SAID = {"host": "web-1", "agent": "a1"}
"""What this agent asks for."""


class _Enrolments:
    """A server that exchanges tokens."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, Any]]] = []
        self.answer: tuple[int, dict[str, Any]] = (201, {"host": "web-1", "token": "agt_own"})
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.asked.append((self.path, self.headers["Authorization"], body))
                status, said = outer.answer
                content = json.dumps(said).encode()
                self.send_response(status)
                kind = "application/json" if status < 400 else "application/problem+json"
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.place = Place.parse(f"http://127.0.0.1:{self.server.server_address[1]}")


@pytest.fixture
def enrolments() -> Iterator[_Enrolments]:
    made = _Enrolments()
    yield made
    made.server.shutdown()
    made.server.server_close()


def _written(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def _made(place: Place, path: Path | None, spool: Path) -> tuple[Tokens, Link]:
    tokens = Tokens(path, spool, "web-1", "a1")
    return tokens, Link(place, Trust(place), lambda: tokens.text)


async def test_an_agents_token_is_used_as_it_is(enrolments: _Enrolments, tmp_path: Path) -> None:
    tokens, link = _made(enrolments.place, _written(tmp_path / "t", "agt_given\n"), tmp_path)
    await tokens.ready(link)
    assert link.headers()["Authorization"] == "Bearer agt_given"
    assert not enrolments.asked


async def test_an_enrolment_token_is_exchanged_once(
    enrolments: _Enrolments, tmp_path: Path
) -> None:
    path = _written(tmp_path / "t", "mon_enrol")
    for _ in range(2):
        tokens, link = _made(enrolments.place, path, tmp_path)
        assert tokens.text is None
        await tokens.ready(link)
        assert link.headers()["Authorization"] == "Bearer agt_own"
    assert enrolments.asked == [("/api/v1/enroll", "Bearer mon_enrol", SAID)]
    kept = tmp_path / "token"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert "mon_enrol" not in kept.read_text()


async def test_another_enrolment_token_or_server_is_another_exchange(
    enrolments: _Enrolments, tmp_path: Path
) -> None:
    for text in ("mon_one", "mon_two"):
        tokens, link = _made(enrolments.place, _written(tmp_path / "t", text), tmp_path)
        await tokens.ready(link)
    assert [token for _, token, _ in enrolments.asked] == ["Bearer mon_one", "Bearer mon_two"]


async def test_a_refused_enrolment_shows_nothing_afterwards(
    enrolments: _Enrolments, tmp_path: Path
) -> None:
    tokens, link = _made(enrolments.place, _written(tmp_path / "t", "mon_enrol"), tmp_path)
    enrolments.answer = (403, {"code": "token_used_up", "detail": "used up", "status": 403})
    with pytest.raises(Refused, match="used up"):
        await tokens.ready(link)
    assert "Authorization" not in link.headers()
    assert not (tmp_path / "token").exists()
    enrolments.answer = (500, {})
    with pytest.raises(Cut, match="500"):
        await tokens.ready(link)
    enrolments.answer = (403, {"code": "forbidden", "detail": "writes only", "status": 403})
    await tokens.ready(link)
    assert tokens.text == "mon_enrol", "a token that writes for many hosts enrols nobody"


async def test_a_renewed_file_is_read_again(enrolments: _Enrolments, tmp_path: Path) -> None:
    path = _written(tmp_path / "t", "agt_one")
    tokens, link = _made(enrolments.place, path, tmp_path)
    await tokens.ready(link)
    _written(path, "agt_two")
    await tokens.ready(link)
    assert tokens.text == "agt_two"
    path.unlink()
    await tokens.ready(link)
    assert tokens.text == "agt_two"


async def test_no_file_is_no_token(enrolments: _Enrolments, tmp_path: Path) -> None:
    tokens, link = _made(enrolments.place, None, tmp_path)
    await tokens.ready(link)
    assert "Authorization" not in link.headers()


@pytest.mark.parametrize(
    ("content", "mode", "told"),
    [
        ("agt_x", 0o644, "others"),
        ("", 0o600, "no token"),
        ("two words", 0o600, "no token"),
        ("é", 0o600, "no token"),
        ("x" * 5000, 0o600, "larger"),
    ],
    ids=["open", "empty", "words", "letters", "long"],
)
def test_a_file_that_is_no_private_token_is_refused_without_showing_it(
    tmp_path: Path, content: str, mode: int, told: str
) -> None:
    path = _written(tmp_path / "t", content, mode)
    with pytest.raises(ConfigError, match=told) as caught:
        read_token(path)
    assert not content or content not in str(caught.value)


async def test_a_token_that_cannot_be_kept_is_used(
    enrolments: _Enrolments, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tokens, link = _made(enrolments.place, _written(tmp_path / "t", "mon_enrol"), tmp_path / "no")
    await tokens.ready(link)
    assert link.headers()["Authorization"] == "Bearer agt_own"
    assert "is not kept" in caplog.text
    assert "agt_own" not in caplog.text
