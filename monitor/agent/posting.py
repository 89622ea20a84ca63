"""One kept connection over which documents are posted, for where no WebSocket passes.

It blocks, and so is used from a thread; it knows HTTP's answers and nothing of documents.
"""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from monitor.agent.place import Place

ANSWER_SECONDS = 10.0
"""How long an answer may take."""

MOST_ANSWER_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: `said` is its JSON object, empty where it is none."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def said(self) -> dict[str, Any]:
        """The JSON object of the answer, empty where it is none."""
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}


class Posting:
    """A connection to one server; it is made anew where the server has closed it."""

    def __init__(
        self, place: Place, context: ssl.SSLContext | None, headers: Callable[[], dict[str, str]]
    ) -> None:
        self._place = place
        self._context = context
        self._headers = headers
        self._connection: http.client.HTTPConnection | None = None

    def post(self, path: str, media_type: str, body: bytes) -> Answer:
        """Post and wait.  Raises `OSError` where there is no answer that is one.

        What is posted may be repeated without harm, so a kept connection that the server has
        closed meanwhile is made anew once.
        """
        is_kept = self._connection is not None
        try:
            return self._asked(path, media_type, body)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if not is_kept or isinstance(error, TimeoutError):
                raise _as_os_error(error) from None
        try:
            return self._asked(path, media_type, body)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise _as_os_error(error) from None

    def close(self) -> None:
        """End the connection; the next request makes another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _asked(self, path: str, media_type: str, body: bytes) -> Answer:
        if self._connection is None:
            host, port = self._place.host, self._place.port
            if self._context is None:
                self._connection = http.client.HTTPConnection(host, port, timeout=ANSWER_SECONDS)
            else:
                self._connection = http.client.HTTPSConnection(
                    host, port, timeout=ANSWER_SECONDS, context=self._context
                )
        headers = {**self._headers(), "Content-Type": media_type, "Host": self._place.authority}
        self._connection.request("POST", f"{self._place.prefix}{path}", body, headers)
        response = self._connection.getresponse()
        content = response.read(MOST_ANSWER_BYTES)
        if not response.isclosed():
            self.close()  # more comes than anybody means to read
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, found, content)


def _as_os_error(error: Exception) -> OSError:
    if isinstance(error, OSError):
        return error
    return OSError(f"the answer is no HTTP ({type(error).__name__})")
