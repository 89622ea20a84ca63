"""A text that is not shown."""

from __future__ import annotations

import copy
import io
import json
import logging
import pickle
import traceback
from dataclasses import asdict, dataclass, replace

import msgspec
import pytest
import structlog

from monitor import logs
from monitor.core.secret import MASK, Secret

TEXT = "hunter2-correct-horse"


@dataclass(frozen=True)
class Mail:
    """A Config class such as a room might own."""

    user: str
    password: Secret | None


def test_no_printing_shows_it() -> None:
    """It must be that every way to print or format a secret gives the mask."""
    secret = Secret(TEXT, "env:PASSWORD")
    shown = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret:>40}",
        f"{secret!r:>40}",
        "%s %r" % (secret, secret),  # noqa: UP031
        "{0} {0:x}".format(secret),  # noqa: UP032
        repr(Mail("me", secret)),
        repr(asdict(Mail("me", secret))),
        repr([secret]),
        repr({"password": secret}),
        json.dumps({"password": secret}, default=str),
    ]
    assert not [text for text in shown if TEXT in text]
    assert all(MASK in text for text in shown)
    assert secret.reveal() == TEXT


@pytest.mark.parametrize(
    "write",
    [
        json.dumps,
        msgspec.json.encode,
        msgspec.msgpack.encode,
        msgspec.to_builtins,
        pickle.dumps,
        hash,
        vars,
        object.__reduce__,
    ],
)
def test_what_would_keep_it_refuses(write: object) -> None:
    """It must be that a secret is not written out, nor a short form of it, nor by the refusal."""
    assert callable(write)
    with pytest.raises(TypeError) as refusal:
        write(Secret(TEXT))
    assert TEXT not in str(refusal.value)


def test_copies_are_the_same() -> None:
    """It must be that dataclasses that hold one can be copied, changed and taken apart."""
    secret = Secret(TEXT)
    mail = Mail("me", secret)
    assert copy.copy(secret) is secret
    assert copy.deepcopy(mail) == mail
    assert replace(mail, user="you").password is secret
    assert asdict(mail)["password"] is secret


def test_equality() -> None:
    """It must be that two are equal by their text, whatever it holds, and never equal a text."""
    assert Secret("é\ud800") == Secret("é\ud800", "elsewhere")
    assert Secret("a") != Secret("b")
    assert Secret("a") != Secret("aa")
    assert Secret("a") != "a"


@pytest.mark.parametrize("form", ["console", "json"])
def test_no_log_shows_it(form: str) -> None:
    """It must be that no log line shows a secret, nor a traceback, even one with its locals."""
    out = io.StringIO()
    handlers = logging.getLogger().handlers[:]
    try:
        logs.configure(logs.LoggingConfig(format="json" if form == "json" else "console"), out)
        secret = Secret(TEXT)
        try:
            raise ValueError(secret)  # noqa: TRY301
        except ValueError as error:
            structlog.get_logger("t").exception("failed", secret=secret, nested={"a": [secret]})
            logging.getLogger("t").warning("%s %r", secret, secret)
            shown = "".join(
                traceback.TracebackException.from_exception(error, capture_locals=True).format()
            )
    finally:
        logging.getLogger().handlers[:] = handlers
        structlog.reset_defaults()
    assert "secret = ***" in shown
    assert TEXT not in shown + out.getvalue()
    assert out.getvalue().count(MASK) >= 4
