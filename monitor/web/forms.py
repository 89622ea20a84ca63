"""What a form of our pages sent, read strictly: its type, its fields, each once and bounded.

Nothing but ``application/x-www-form-urlencoded`` is taken: our own forms have no files, and a
body of another type is nobody's form.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from quart import request
from werkzeug.datastructures import MultiDict

from monitor.errors import InputError, MonitorError
from monitor.web.query import Query

FORM = "application/x-www-form-urlencoded"

LONGEST_FIELD = 8 * 1024
"""Characters of one field: a list of 64 globs fits."""

LONGEST_NEXT = 2_048
"""Characters of the address to go on to."""


async def sent(*known: str) -> Query:
    """The fields of the form that was sent; those that it has besides are refused.

    Raises a `MonitorError`: 415 where it is no form, 400 where a field stands twice, is not
    known or is too long.
    """
    if request.mimetype != FORM:
        detail = f"this address takes forms: Content-Type: {FORM}"
        raise MonitorError(detail, code="unsupported_media_type", status=415)
    fields = MultiDict((await request.form).items(multi=True))
    for name, value in fields.items(multi=True):
        if len(value) > LONGEST_FIELD:
            detail = "a field is longer than it may be"
            field = name if name in known else None
            raise InputError(detail, code="too_long", field=field, limit=LONGEST_FIELD)
    return Query(fields, (*known, "form_token"))


def safe_next(text: str | None) -> str:
    """An address of ours to go on to: a path, or the first page where it is anything else.

    What begins with two slashes is another server's, a backslash is a slash to browsers, and
    they leave out control characters before they look.
    """
    if not text or len(text) > LONGEST_NEXT or not text.startswith("/"):
        return "/"
    if text.startswith("//") or "\\" in text or not text.isascii() or not text.isprintable():
        return "/"
    try:
        parts = urlsplit(text)
    except ValueError:
        return "/"
    if parts.scheme or parts.netloc or parts.path in {"/login", "/logout"}:
        return "/"
    return text
