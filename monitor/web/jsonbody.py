"""A JSON body of the API, read strictly: its type, its shape, nothing that nobody knows.

How large one may be, and how long it may take, is the application's (`monitor.web.app`).
"""

from __future__ import annotations

from typing import TypeVar

import msgspec
from quart import request

from monitor.errors import InputError, excerpt

MEDIA_TYPE = "application/json"

_T = TypeVar("_T", bound=msgspec.Struct)


async def body(shape: type[_T], example: str) -> _T:
    """The body of this request, of a shape that forbids unknown fields.

    Raises `InputError`: of status 415 where it is not JSON by its own word, of code ``bad_shape``
    where it is something else; `example` says what it might be.
    """
    if request.mimetype != MEDIA_TYPE:
        detail = f"this takes {MEDIA_TYPE} (curl --json does)"
        raise InputError(detail, code="unsupported_media_type", status=415)
    try:
        return msgspec.json.decode(await request.get_data(), type=shape, strict=True)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at ")
        field = where.strip("`").removeprefix("$.") or None
        detail = f"expected {example}: {excerpt(what)}"
        raise InputError(
            detail, code="bad_shape", field=None if field is None else excerpt(field)
        ) from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise InputError(f"expected {example}", code="bad_shape") from None
