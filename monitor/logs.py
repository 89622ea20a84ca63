"""What the program says about itself: one line per event, always.

structlog's and the standard library's loggers go through one formatter.  Host names, paths
and messages come from strangers, so every character that could end a line, move a cursor or
reorder text is escaped, in names as well as values, in both formats.  An exception is one
escaped field of its line.
"""

from __future__ import annotations

import json
import logging
import math
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

FIELD_CHARACTERS = 8192
"""How much of one value is written.  Of an exception the end is kept: it says what happened."""

NESTED_DEPTH = 4
"""How deep a nested value is written; what is deeper is named by its type."""

NESTED_ITEMS = 64
"""How many items of a nested value are written."""

_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff\\\\]"
)
_PLAIN = re.compile(r"[^\s\"=\\]+\Z")
_BOLD, _RED, _YELLOW, _DIM, _RESET = "\x1b[1m", "\x1b[31m", "\x1b[33m", "\x1b[2m", "\x1b[0m"
_COLOURS = {"critical": _RED, "error": _RED, "warning": _YELLOW, "debug": _DIM}
_FIRST = ("timestamp", "level", "event", "logger")


@dataclass(frozen=True, slots=True)
class LoggingConfig:
    """What `[logging]` may say."""

    format: Literal["console", "json"] = "console"
    """Lines for people, or one JSON object a line."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severity that is written."""


def configure(config: LoggingConfig, stream: TextIO | None = None) -> None:
    """Send every logger of this process to `stream` (standard error) in one format.

    Idempotent: the last call holds.  Servers that attach handlers of their own, as
    hypercorn does, are to be given the logger ``hypercorn.error`` instead.
    """
    out = sys.stderr if stream is None else stream
    level = getattr(logging, config.level.upper())
    render = _json if config.format == "json" else _Console(colours=out.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _safe, render],
        )
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for name in ("asyncio", "hypercorn.access", "hypercorn.error", "py.warnings"):
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = True
    for name in ("httpcore2", "httpx2"):
        # They tell whole URLs and headers, and those of webhooks and scrapes are secrets.
        logging.getLogger(name).setLevel(logging.WARNING)
    # It tells of every change beside the files that we look at.
    logging.getLogger("watchfiles").setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    # A line that cannot be written is lost, rather than a traceback of many lines.
    logging.raiseExceptions = False
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def escaped(text: str) -> str:
    r"""`text` on one line: controls, separators, direction marks and \ as Python escapes them."""
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def _safe(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Plain, bounded values under text keys, the usual ones first."""
    ordered = {key: event.pop(key) for key in _FIRST if key in event}
    ordered.update(event)
    return {_cut(_text(key)): _value(key, value) for key, value in ordered.items()}


def _value(key: object, value: object) -> object:
    if key in ("exception", "stack") and isinstance(value, str):
        return value if len(value) <= FIELD_CHARACTERS else f"…{value[-FIELD_CHARACTERS:]}"
    return _simple(value, NESTED_DEPTH)


def _simple(value: object, depth: int) -> object:
    """The value as JSON can say it."""
    match value:
        case None | bool():
            return value
        case str():
            return _cut(value)
        case int() if abs(value) < 2**63:
            return int(value)
        case float() if math.isfinite(value):
            return float(value)
        case Mapping() if depth:
            items = list(value.items())[:NESTED_ITEMS]
            return {_cut(_text(key)): _simple(inner, depth - 1) for key, inner in items}
        case list() | tuple() | set() | frozenset() if depth:
            return [_simple(inner, depth - 1) for inner in list(value)[:NESTED_ITEMS]]
        case Mapping() | list() | tuple() | set() | frozenset():
            return f"<{type(value).__name__}>"
        case _:
            return _cut(_text(value))


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001  # Logging a strange object must not fail its caller.
        return f"<unprintable {type(value).__name__}>"


def _cut(text: str) -> str:
    return text if len(text) <= FIELD_CHARACTERS else f"{text[:FIELD_CHARACTERS]}…"


def _json(_logger: WrappedLogger, _name: str, event: EventDict) -> str:
    # JSON in ASCII escapes every control character but DEL.
    return json.dumps(event, ensure_ascii=True, separators=(",", ":")).replace("\x7f", "\\u007f")


@dataclass(frozen=True, slots=True)
class _Console:
    """Lines for people: time, level, what happened, then ``key=value``."""

    colours: bool

    def __call__(self, _logger: WrappedLogger, _name: str, event: EventDict) -> str:
        level = str(event.pop("level", "info"))
        head = f"{event.pop('timestamp', '')} {level:<8}"
        what = escaped(_written(event.pop("event", "")))
        if self.colours:
            head = f"{_COLOURS.get(level, '')}{head}{_RESET}"
            what = f"{_BOLD}{what}{_RESET}"
        pairs = [f"{_quoted(key)}={_quoted(_written(value))}" for key, value in event.items()]
        return " ".join([head, what, *pairs])


def _written(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _quoted(text: str) -> str:
    """A key or value that ends where it seems to end."""
    safe = escaped(text)
    return safe if _PLAIN.match(text) and safe == text else '"' + safe.replace('"', '\\"') + '"'
