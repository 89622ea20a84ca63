"""The audit trail: see `monitor.access.audit`."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pytest

from monitor.access.audit import Actor, Audit
from monitor.core.access import Clearance, Right, Role, TokenKind, clearance
from monitor.errors import MonitorError, Unavailable
from monitor.log.memory import MemoryLog
from monitor.model import Event, RetentionClass, retention_class
from monitor.ports import Unknown
from tests.access.house import ROOT, House

SECRETS = ["canary one of a battery", "canary two of a battery", "canary three of a battery"]


async def test_every_change_is_written_once_and_no_secret(house: House) -> None:
    """It must be that the trail says who did what to what, and holds nothing to come in with."""
    one, two, three = SECRETS
    accounts, tokens = house.office.accounts, house.office.tokens
    planted = [*SECRETS]
    await accounts.create(ROOT, "ann", Role.ADMIN, one)
    await accounts.create(ROOT, "ben", Role.VIEWER, one)
    await accounts.set_role(ROOT, "ben", Role.ADMIN)
    planted.append(await house.cookie("ann", one))
    (session,) = house.office.directory.sessions.values()
    with pytest.raises(MonitorError):
        await accounts.change_own_password(Actor("ann", "::1"), "ann", three, two, session.id)
    await accounts.change_own_password(Actor("ann", "::1"), "ann", one, two, session.id)
    assert await accounts.log_in("ann", three, remember=False, address="", agent="") is None
    planted.append(await house.cookie("ann", two))
    await accounts.end_others(ROOT, "ann", session.id)
    await accounts.end_session(ROOT, session.id)
    await accounts.delete(ROOT, "ben")
    text, caller = await house.token(TokenKind.AGENT, "web-1")
    rotated, heir = await tokens.rotate(ROOT, caller.credential)
    await tokens.revoke(ROOT, heir.id)
    enrolling, enroller = await house.token(TokenKind.ENROLL, uses=2)
    enrolled = await tokens.enroll(enroller, Actor(enroller.said, "10.0.0.7"), "web-2")
    planted += [text, rotated, enrolling, enrolled]
    trail = await house.trail()
    assert [(each["action"], each["outcome"]) for each in trail] == [
        ("account.create", "done"),
        ("account.create", "done"),
        ("account.role", "done"),
        ("session.open", "done"),
        ("account.password", "refused"),
        ("account.password", "done"),
        ("session.open", "done"),
        ("session.end_others", "done"),
        ("session.end", "done"),
        ("account.delete", "done"),
        ("token.create", "done"),
        ("token.rotate", "done"),
        ("token.revoke", "done"),
        ("token.create", "done"),
        ("token.enroll", "done"),
    ]
    assert (trail[2]["actor"], trail[2]["address"]) == ("root", "command line")
    assert (trail[2]["target"], trail[2]["role"]) == ("ben", "admin")
    assert trail[-1]["actor"] == f"enroll token {enroller.credential}"
    assert (trail[-1]["address"], trail[-1]["host"]) == ("10.0.0.7", "web-2")
    written = await house.everything()
    for secret in planted:
        assert secret not in written
        assert secret.rpartition("_")[2] not in written


async def test_it_is_for_administrators_and_kept_as_such(house: House) -> None:
    """It must be that an entry is an event of the audit's class, which takes an administrator."""
    await house.office.audit.record(ROOT, "token.create", "x", "refused", why="no")
    events, _, _ = await house.log.read(0, None, 9)
    (found,) = events
    assert retention_class(found) is RetentionClass.AUDIT
    assert clearance(found.type, found.data) == Clearance(Right.ADMIN, None)
    assert found.data["text"] == "root from command line: token.create x: refused"
    assert found.at == house.now


class Broken(MemoryLog):
    """Cannot be written."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    async def append(
        self, events: Sequence[Event], scope: str | None = None, expect: int | None = None
    ) -> int:
        """Fails."""
        raise self.error


@pytest.mark.parametrize("error", [Unavailable("full"), Unknown("perhaps")])
async def test_what_happened_has_happened(
    house: House, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """It must be that a revocation holds although the log is full, and is said elsewhere."""
    house.log = Broken(error)
    house.office = house.another()
    with caplog.at_level(logging.ERROR):
        text, caller = await house.token(TokenKind.AGENT, "web-1")
        await house.office.tokens.revoke(ROOT, caller.credential)
    assert house.office.directory.by_token(text, house.now) is None
    assert "token.revoke" in caplog.text
    assert text not in caplog.text


async def test_no_line_is_forged(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """It must be that what is said elsewhere is one line, whatever an address was."""
    audit = Audit(Broken(Unavailable("full")), lambda: house.now)
    with caplog.at_level(logging.ERROR):
        await audit.record(Actor("ann", "::1\n2026 root: all is well"), "a.b", "c")
    (record,) = caplog.records
    assert "\n" not in record.getMessage()
