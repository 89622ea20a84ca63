"""Few errors, each with its HTTP status and whose fault it is.

An error says what happened, to what, and what to do.  ``code`` is stable: scripts and
agents may branch on it.  ``detail`` is for people and never carries a secret or raw input
longer than 64 escaped characters (see `excerpt`).
"""

EXCERPT_CHARACTERS = 64
"""How much of somebody's input an error may show."""


def excerpt(text: str) -> str:
    """At most 64 characters of `text`, control and non-ASCII characters escaped."""
    escaped = text[: EXCERPT_CHARACTERS + 1].encode("unicode_escape").decode("ascii")
    if len(escaped) <= EXCERPT_CHARACTERS:
        return escaped
    return escaped[: EXCERPT_CHARACTERS - 1] + "…"


class MonitorError(Exception):
    """Base of all errors that an interface may show.

    `status` is the HTTP status, `code` the stable name, `field` the input that was wrong
    and `limit` the bound that was passed, where there is one.  `retry_after` is the number of
    seconds after which the same may work, where that is known.
    """

    status = 500
    code = "internal"

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        field: str | None = None,
        limit: float | None = None,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field
        self.limit = limit
        self.retry_after = retry_after
        self.about: tuple[str, int] | None = None
        """The push that it is about, as ``boot_id`` and ``seq``, where it is about one."""
        if code is not None:
            self.code = code
        if status is not None:
            self.status = status


class InputError(MonitorError):
    """The caller's fault: what was sent cannot be used."""

    status = 400
    code = "bad_request"


class NotFound(MonitorError):
    """The caller named something that does not exist or may not be seen."""

    status = 404
    code = "not_found"


class Unavailable(MonitorError):
    """Our fault, for now: try again later."""

    status = 503
    code = "unavailable"


class ConfigError(MonitorError):
    """The operator's fault: the configuration cannot be used.  Exit status 78.

    `complaints` holds one line per fault, each naming file, line, path and what was
    expected.
    """

    code = "bad_config"

    def __init__(self, complaints: list[str]) -> None:
        super().__init__("\n".join(complaints))
        self.complaints = complaints


class StartError(MonitorError):
    """The server cannot start here: a busy port, a locked data directory.  Exit status 1."""

    code = "cannot_start"


class Absent(Exception):
    """This machine has not got what a collector reads; the text says what and why.

    Not an error: a container without sensors is a healthy container.
    """
