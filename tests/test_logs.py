"""One line per event, whatever strangers send."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import re
import sys
import warnings
from collections.abc import Iterator
from datetime import datetime

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.logs import FIELD_CHARACTERS, LoggingConfig, configure, escaped

HOSTILE = "a\nb\r\x1b[2J\x00\x7f\x85\x9b\u2028\u2029\u202e\ud800\\n\"='é"
FORBIDDEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\ud800-\udfff]")


@contextlib.contextmanager
def untouched() -> Iterator[None]:
    """Logging as it was, afterwards."""
    root = logging.getLogger()
    handlers, level, raising = root.handlers[:], root.level, logging.raiseExceptions
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.raiseExceptions = raising
        logging.captureWarnings(capture=False)
        structlog.reset_defaults()


@pytest.fixture(autouse=True)
def logging_untouched() -> Iterator[None]:
    """No test leaves its logging behind."""
    with untouched():
        yield


def output(config: LoggingConfig) -> io.StringIO:
    """Where the lines go from now on."""
    stream = io.StringIO()
    configure(config, stream)
    return stream


def one_line(stream: io.StringIO) -> str:
    """The only line, without anything that moves a cursor."""
    text = stream.getvalue()
    assert text.endswith("\n")
    assert text.count("\n") == 1
    assert not FORBIDDEN.search(text)
    return text


FORMATS = pytest.mark.parametrize("config", [LoggingConfig("console"), LoggingConfig("json")])


@FORMATS
def test_hostile_text(config: LoggingConfig) -> None:
    """It must be that controls in the message, in keys and in values stay on one line."""
    stream = output(config)
    nested = {HOSTILE: [HOSTILE, {HOSTILE}]}
    structlog.stdlib.get_logger(HOSTILE).info(HOSTILE, **{HOSTILE: HOSTILE, "nested": nested})
    line = one_line(stream)
    if config.format == "json":
        found = json.loads(line)
        assert found["event"] == found["logger"] == found[HOSTILE] == HOSTILE
        assert found["nested"] == {HOSTILE: [HOSTILE, [HOSTILE]]}


@FORMATS
def test_standard_logger(config: LoggingConfig) -> None:
    """It must be that the standard library's loggers come out the same way."""
    stream = output(config)
    logging.getLogger("hypercorn.error").warning("%s served", HOSTILE)
    line = one_line(stream)
    assert "served" in line
    assert "hypercorn.error" in line
    assert "warning" in line


@FORMATS
@pytest.mark.parametrize("standard", [True, False])
def test_exception(config: LoggingConfig, standard: bool) -> None:
    """It must be that an exception is one escaped field of its line."""
    stream = output(config)
    log = logging.getLogger("x") if standard else structlog.stdlib.get_logger("x")
    try:
        int(HOSTILE)
    except ValueError:
        log.exception("failed")
    line = one_line(stream)
    assert "ValueError" in line
    assert "test_logs.py" in line
    if config.format == "json":
        assert "Traceback" in json.loads(line)["exception"]


@FORMATS
def test_stack(config: LoggingConfig) -> None:
    """It must be that a stack that was asked for is folded too."""
    stream = output(config)
    logging.getLogger("x").warning("here", stack_info=True)
    assert "test_logs.py" in one_line(stream)


@FORMATS
def test_warning(config: LoggingConfig) -> None:
    """It must be that warnings of Python are events as well."""
    stream = output(config)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=False)
        configure(config, stream)
        warnings.warn("old\nways", stacklevel=1)
    assert "py.warnings" in one_line(stream)


class Strange:
    """Cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError


VALUES: list[object] = [
    *(
        None,
        True,
        1,
        1.5,
        float("nan"),
        float("inf"),
        2**70,
        b"\n",
        [],
        {},
        (),
        object(),
        Strange(),
    ),
    *(
        {"a": {"b": {"c": {"d": {"e": 1}}}}},
        [[[[[1]]]]],
        {1: 2, (3,): 4, Strange(): 5},
        "x" * 10**6,
    ),
    list(range(100_000)),
]


@FORMATS
@pytest.mark.parametrize("value", [pytest.param(v, id=str(at)) for at, v in enumerate(VALUES)])
def test_any_value(config: LoggingConfig, value: object) -> None:
    """It must be that any value is written, bounded, and that JSON stays JSON."""
    stream = output(config)
    structlog.stdlib.get_logger().info("it is", value=value)
    line = one_line(stream)
    assert len(line) < FIELD_CHARACTERS + 1000
    if config.format == "json":
        json.loads(line, parse_constant=pytest.fail)


def test_a_value_that_refers_to_itself() -> None:
    """It must be that a loop in a value has an end."""
    stream = output(LoggingConfig("json"))
    loop: list[object] = []
    loop.append(loop)
    structlog.stdlib.get_logger().info("it is", value=loop)
    assert json.loads(one_line(stream))["value"] == [[[["<list>"]]]]


def _fail(detail: str) -> None:
    raise ValueError(detail)


def test_long_exception_keeps_its_end() -> None:
    """It must be that the end of a long exception, which says what happened, is kept."""
    stream = output(LoggingConfig("json"))
    try:
        _fail("x" * 100_000 + "the end")
    except ValueError:
        logging.getLogger().exception("failed")
    assert json.loads(one_line(stream))["exception"].endswith("the end")


def test_console_reads() -> None:
    """It must be that a console line is time, level, message, then pairs that end clearly."""
    stream = output(LoggingConfig("console"))
    structlog.stdlib.get_logger("monitor").info("host came", host="web-1", why="a b", n=1, q='"')
    line = one_line(stream)
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z info     host came"
        r' logger=monitor host=web-1 why="a b" n=1 q="\\""\n',
        line,
    )


def test_json_fields() -> None:
    """It must be that the fields come in one order, with the time in UTC by ISO 8601."""
    stream = output(LoggingConfig("json"))
    structlog.stdlib.get_logger("monitor").info("host came", host="web-1")
    found = json.loads(one_line(stream))
    assert list(found) == ["timestamp", "level", "event", "logger", "host"]
    offset = datetime.fromisoformat(found["timestamp"]).utcoffset()
    assert offset is not None
    assert not offset


@pytest.mark.parametrize(
    ("level", "count"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)]
)
def test_level(level: str, count: int) -> None:
    """It must be that what is less severe than the level is not written, from either logger."""
    for log in (logging.getLogger("a"), structlog.stdlib.get_logger("b")):
        stream = output(LoggingConfig(level=level))  # type: ignore[arg-type]  # one of the four
        for method in (log.debug, log.info, log.warning, log.error):
            method("x")
        assert stream.getvalue().count("\n") == count


def test_configured_twice() -> None:
    """It must be that the last configuration holds, alone."""
    first = output(LoggingConfig("console"))
    second = output(LoggingConfig("json"))
    logging.getLogger().info("x")
    assert not first.getvalue()
    one_line(second)


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colours() -> None:
    """It must be that there are colours on a terminal and nowhere else, and only ours."""
    terminal = _Terminal()
    configure(LoggingConfig("console"), terminal)
    logging.getLogger().error("it \x1b[31m failed")
    text = terminal.getvalue()
    assert "\x1b[1mit \\x1b[31m failed\x1b[0m" in text
    configure(LoggingConfig("json"), terminal)
    logging.getLogger().error("failed")
    assert "\x1b" not in terminal.getvalue().removeprefix(text)


class _Broken(io.StringIO):
    def write(self, _text: str) -> int:
        raise BrokenPipeError


def test_broken_stream(capsys: pytest.CaptureFixture[str]) -> None:
    """It must be that a reader that went away costs the line and nothing else."""
    configure(LoggingConfig(), _Broken())
    logging.getLogger().error("x")
    structlog.stdlib.get_logger().error("x")
    assert capsys.readouterr().err == ""


def test_standard_error_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    """It must be that lines go to standard error, as a supervisor expects."""
    configure(LoggingConfig())
    logging.getLogger().error("here")
    assert "here" in capsys.readouterr().err
    assert sys.stderr is not None


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.text(), st.text(), st.text())
def test_any_text(event: str, key: str, value: str) -> None:
    """It must be that no text whatever makes a second line."""
    for config in (LoggingConfig("console"), LoggingConfig("json")):
        with untouched():
            stream = output(config)
            fields = {} if key in ("event", "self", "exc_info", "stack_info") else {key: value}
            structlog.stdlib.get_logger("x").info(event, **fields)
            one_line(stream)


def test_escaped_is_unambiguous() -> None:
    """It must be that an escaped text tells a newline from a backslash and an n."""
    assert (escaped("\n"), escaped("\\n"), escaped("é")) == ("\\n", "\\\\n", "é")
