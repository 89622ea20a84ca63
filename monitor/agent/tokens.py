"""The agent's token: read from its file, or had in exchange for an enrolment token.

An enrolment token is exchanged once; what it was exchanged for is kept in the spool, and is used
as long as server, name and enrolment token are the same.  Tokens are never logged.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from pathlib import Path

from monitor.agent.folder import write_private
from monitor.agent.link import Cut, Link, Problem, Refused, reason
from monitor.agent.threads import off_loop
from monitor.errors import ConfigError, StartError
from monitor.private import read_private

ENROL_PATH = "/api/v1/enroll"
KEPT_FILE = "token"

MOST_BYTES = 4_096
"""Of a token file; a token has some fifty."""

_ENROLS = "mon_"
"""How tokens begin that are not an agent's own; an enrolment token is one of them."""

_WRONG_KIND = frozenset({403, 404})
"""Answers that say that this token is not for enrolling: then it is one that writes."""


def read_token(path: Path) -> str:
    """The token of a private file.  Raises `ConfigError`."""
    try:
        content = read_private(path, most_bytes=MOST_BYTES).content
        token = content.decode("ascii").strip()
    except UnicodeDecodeError:
        raise ConfigError([f"{path}: holds no token"]) from None
    except ValueError as error:
        raise ConfigError([f"{path}: {error}"]) from None
    if not token or not token.isprintable() or any(each.isspace() for each in token):
        raise ConfigError([f"{path}: holds no token"])
    return token


logger = logging.getLogger("monitor.agent")


class Tokens:
    """What this agent shows.  `text` is the present token, none where the server needs none."""

    def __init__(self, path: Path | None, spool: Path, host: str, agent: str) -> None:
        self._path = path
        self._kept = spool / KEPT_FILE
        self._host = host
        self._agent = agent
        self.text: str | None = None
        self._given = read_token(path) if path is not None else None
        if self._given is not None and not self._given.startswith(_ENROLS):
            self.text = self._given

    async def ready(self, link: Link) -> None:
        """Have a token: read the file again, for it may have been renewed, and enrol if need be.

        `link` asks for `text` and so shows no token while there is none.  Raises `Cut` and
        `Refused`.
        """
        if self._path is None:
            return
        # What was readable at the start and is not now may be just being replaced.
        with contextlib.suppress(ConfigError):
            given = read_token(self._path)
            if given != self._given:
                self._given, self.text = given, None
        if self.text is not None or self._given is None:
            return
        if not self._given.startswith(_ENROLS):
            self.text = self._given
            return
        origin = self._origin(link)
        self.text = self._kept_for(origin)
        if self.text is None:
            self.text = await self._enrolled(link, self._given, origin)

    def _origin(self, link: Link) -> str:
        """What a kept token was had for; the enrolment token itself is not kept."""
        said = "\n".join((str(link.place), self._host, self._given or ""))
        return hashlib.sha256(said.encode()).hexdigest()

    def _kept_for(self, origin: str) -> str | None:
        try:
            kept = json.loads(read_private(self._kept, most_bytes=MOST_BYTES).content)
            return str(kept["token"]) if kept["origin"] == origin else None
        except (ValueError, KeyError, TypeError):
            return None

    async def _enrolled(self, link: Link, given: str, origin: str) -> str:
        # The request itself shows the enrolment token.
        self.text = given
        try:
            posting = await link.posting()
            body = json.dumps({"host": self._host, "agent": self._agent}).encode()
            answer = await off_loop(lambda: posting.post(ENROL_PATH, "application/json", body))
            posting.close()
        except OSError as error:
            raise Cut(reason(error)) from None
        finally:
            self.text = None
        token = answer.said.get("token")
        if answer.status == 201 and isinstance(token, str) and token.isprintable():
            try:
                write_private(self._kept, json.dumps({"token": token, "origin": origin}) + "\n")
            except StartError as error:
                # It was given once; while this process lives it is known.
                logger.error("the token that was given is not kept: %s", error.detail)  # noqa: TRY400 - the disk's fault, not the code's
            return token
        problem = Problem.read(answer.status, answer.headers, answer.body)
        if problem is None or not problem.code:
            raise Cut(f"it answers an enrolment with status {answer.status}")
        if answer.status in _WRONG_KIND and problem.code in {"forbidden", "not_found"}:
            return given
        raise Refused(problem)
