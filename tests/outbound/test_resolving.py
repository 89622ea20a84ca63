"""Names to addresses, whatever the resolver does."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Sequence

import pytest

from monitor.outbound import resolving
from monitor.outbound.faults import OutboundFailed, Reason
from monitor.outbound.resolving import Resolver

ONE = ipaddress.ip_address("192.0.2.1")


class Answers:
    """A resolver that says what it was told to, and hangs where it was told to."""

    def __init__(self) -> None:
        self.fault: Exception | None = None
        self.found: list[str] = ["192.0.2.1", "192.0.2.1"]
        self.asked: list[str] = []
        self.open = threading.Event()
        self.open.set()

    def __call__(self, name: str) -> Sequence[str]:
        self.asked.append(name)
        self.open.wait(30)
        if self.fault is not None:
            raise self.fault
        return self.found


async def test_answers() -> None:
    """It must be that each address comes once, and no more than a bound."""
    answers = Answers()
    resolver = Resolver(answers)
    assert await resolver.resolve("a") == (ONE,)
    answers.found = [f"192.0.2.{number}" for number in range(200)]
    assert len(await resolver.resolve("a")) == resolving.MOST_ADDRESSES


async def test_hanging_resolver_holds_few_threads() -> None:
    """It must be that a resolver that hangs is given up on, and that threads do not pile up."""
    answers = Answers()
    answers.open.clear()
    before = threading.active_count()
    resolver = Resolver(answers, deadline_seconds=0.05, most_threads=2)
    asked = [resolver.resolve(f"name-{number % 10}") for number in range(40)]
    faults = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(fault) for fault in faults} == {OutboundFailed}
    assert {fault.reason for fault in faults if isinstance(fault, OutboundFailed)} == {
        Reason.UNRESOLVED
    }
    assert threading.active_count() <= before + 2
    assert len(answers.asked) == 2
    answers.open.set()
    patient = Resolver(answers)
    assert await patient.resolve("b") == (ONE,)
    while resolver._asked:  # noqa: ASYNC110 - a thread tells no event
        await asyncio.sleep(0.01)
    assert await resolver.resolve("name-9") == (ONE,)


async def test_one_question_for_many() -> None:
    """It must be that a name that is being asked for is asked for once."""
    answers = Answers()
    answers.open.clear()
    resolver = Resolver(answers, deadline_seconds=30)
    many = [asyncio.create_task(resolver.resolve("a")) for _ in range(20)]
    while not answers.asked:  # noqa: ASYNC110 - a thread tells no event
        await asyncio.sleep(0)
    many[0].cancel()
    answers.open.set()
    found = await asyncio.gather(*many, return_exceptions=True)
    assert found[1:] == [(ONE,)] * 19
    assert isinstance(found[0], asyncio.CancelledError)
    assert answers.asked == ["a"]


@pytest.mark.parametrize(
    "fault",
    [
        socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
        socket.gaierror(socket.EAI_FAIL, "Non-recoverable failure"),
        OSError("broken"),
        UnicodeError("label too long"),
    ],
)
async def test_last_good_answer(fault: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """It must be that a failing resolver leaves the last good answer in force, for a while."""
    answers = Answers()
    resolver = Resolver(answers)
    await resolver.resolve("a")
    answers.fault = fault
    assert await resolver.resolve("a") == (ONE,)
    with pytest.raises(OutboundFailed, match='"b" has no address'):
        await resolver.resolve("b")
    monkeypatch.setattr(resolving, "REMEMBERED_SECONDS", -1.0)
    with pytest.raises(OutboundFailed):
        await resolver.resolve("a")


async def test_no_such_name() -> None:
    """It must be that a name that is no more has no last answer."""
    answers = Answers()
    resolver = Resolver(answers)
    await resolver.resolve("a")
    answers.fault = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    with pytest.raises(OutboundFailed, match="there is no such name"):
        await resolver.resolve("a")
    answers.fault, answers.found = None, []
    with pytest.raises(OutboundFailed, match="there is no such name"):
        await resolver.resolve("a")


async def test_few_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """It must be that the memory of answers has a bound."""
    monkeypatch.setattr(resolving, "MOST_REMEMBERED", 3)
    answers = Answers()
    resolver = Resolver(answers)
    for number in range(5):
        await resolver.resolve(f"name-{number}")
    answers.fault = OSError()
    assert await resolver.resolve("name-4") == (ONE,)
    with pytest.raises(OutboundFailed):
        await resolver.resolve("name-0")


async def test_system() -> None:
    """It must be that this machine's resolver knows this machine."""
    found = await Resolver(deadline_seconds=30).resolve("localhost")
    assert all(address.is_loopback for address in found)
