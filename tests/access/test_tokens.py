"""Tokens of machines and scripts: see `monitor.access.tokens`."""

from __future__ import annotations

import asyncio

import pytest

from monitor.access.tokens import OVERLAP_SECONDS, Wish
from monitor.core.access import Policy, TokenKind
from monitor.errors import InputError, MonitorError, NotFound
from tests.access.house import ROOT, House


@pytest.mark.parametrize(
    ("kind", "more", "policies"),
    [
        (TokenKind.AGENT, {}, {Policy.PUSH}),
        (TokenKind.INGEST, {}, {Policy.PUSH}),
        (TokenKind.ENROLL, {"uses": 1}, {Policy.ENROLL}),
        (TokenKind.API, {"scopes": ("metrics",)}, {Policy.METRICS}),
        (TokenKind.API, {"scopes": ("read",)}, {Policy.METRICS, Policy.READ}),
        (
            TokenKind.API,
            {"scopes": ("operate", "metrics")},
            {Policy.METRICS, Policy.READ, Policy.OPERATE},
        ),
        (
            TokenKind.API,
            {"scopes": ("admin",)},
            {Policy.METRICS, Policy.READ, Policy.OPERATE, Policy.ADMIN},
        ),
    ],
)
async def test_a_token_may_what_its_kind_may(
    house: House, kind: TokenKind, more: dict[str, object], policies: set[Policy]
) -> None:
    """It must be that no kind of token opens a route that is not for it."""
    _, caller = await house.token(kind, "web-1", **more)
    assert {each for each in Policy if caller.may(each)} == policies | {Policy.PUBLIC}
    pushes = Policy.PUSH in policies
    assert (caller.writes("web-1"), caller.writes("web-2")) == (pushes, False)
    reads = Policy.READ in policies
    assert (caller.sees("web-1"), caller.sees("web-2")) == (reads, False)


BAD = [
    (Wish(TokenKind.AGENT), "bad_host"),
    (Wish(TokenKind.AGENT, ("web-*",)), "bad_host"),
    (Wish(TokenKind.AGENT, ("a", "b")), "bad_host"),
    (Wish(TokenKind.AGENT, ("..",)), "bad_host"),
    (Wish(TokenKind.AGENT, ("",)), "bad_host"),
    (Wish(TokenKind.INGEST, ()), "bad_glob"),
    (Wish(TokenKind.INGEST, ("web *",)), "bad_glob"),
    (Wish(TokenKind.ENROLL, ("a",) * 65), "bad_glob"),
    (Wish(TokenKind.API), "bad_scope"),
    (Wish(TokenKind.API, scopes=("read", "everything")), "bad_scope"),
    (Wish(TokenKind.INGEST, scopes=("read",)), "bad_scope"),
    (Wish(TokenKind.API, scopes=("read",), expires=1_000_000.0), "bad_time"),
    (Wish(TokenKind.ENROLL, uses=0), "bad_uses"),
    (Wish(TokenKind.ENROLL, uses=-1), "bad_uses"),
    (Wish(TokenKind.ENROLL, uses=100_001), "bad_uses"),
    (Wish(TokenKind.INGEST, note="x\x1b]0;owned\x07"), "bad_text"),
    (Wish(TokenKind.INGEST, note="a\u202eb"), "bad_text"),
    (Wish(TokenKind.ENROLL, labels={"": "x"}), "bad_labels"),
    (Wish(TokenKind.ENROLL, labels={"x": "a\n"}), "bad_labels"),
    (Wish(TokenKind.ENROLL, labels={"x": "a" * 256}), "bad_labels"),
    (Wish(TokenKind.ENROLL, labels={f"x{n}": "a" for n in range(33)}), "bad_labels"),
]


@pytest.mark.parametrize(("wish", "code"), BAD)
async def test_a_token_that_cannot_be_is_refused(house: House, wish: Wish, code: str) -> None:
    """It must be that a bad wish makes no token, and leaves no trace."""
    with pytest.raises(InputError) as raised:
        await house.office.tokens.create(ROOT, wish)
    assert raised.value.code == code
    assert not house.office.directory.has_token
    assert await house.trail() == []


async def test_tokens_are_bounded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """It must be that neither making, rotating nor enrolling passes the bound."""
    monkeypatch.setattr("monitor.access.tokens.MOST_TOKENS", 2)
    _, agent = await house.token(TokenKind.AGENT, "web-1")
    _, enroll = await house.token(TokenKind.ENROLL, uses=9)
    tokens = house.office.tokens
    for more in (
        tokens.create(ROOT, Wish(TokenKind.AGENT, ("web-2",))),
        tokens.rotate(ROOT, agent.credential),
        tokens.enroll(enroll, ROOT, "web-2"),
    ):
        with pytest.raises(InputError) as raised:
            await more
        assert raised.value.code == "too_many_tokens"


async def test_a_revoked_token_is_nobody(house: House) -> None:
    """It must be that a token ends with its record, once."""
    text, caller = await house.token(TokenKind.INGEST, "db-*")
    await house.office.tokens.revoke(ROOT, caller.credential)
    assert house.office.directory.by_token(text, house.now) is None
    with pytest.raises(NotFound):
        await house.office.tokens.revoke(ROOT, caller.credential)


# Rotation


async def test_rotation_overlaps(house: House) -> None:
    """It must be that both tokens hold for the overlap, and then only the new one."""
    directory = house.office.directory
    old, caller = await house.token(TokenKind.AGENT, "web-1", labels={"role": "web"})
    new, made = await house.office.tokens.rotate(ROOT, caller.credential)
    ends = house.now + OVERLAP_SECONDS
    for at, holds in ((ends - 1, True), (ends, False)):
        assert (directory.by_token(old, at) is not None) is holds
        today = directory.by_token(new, at)
        assert today is not None
        assert (today.hosts, today.labels) == (("web-1",), {"role": "web"})
    assert made.expires is None


async def test_rotation_without_overlap_ends_the_old_one(house: House) -> None:
    """It must be that who fears that a token is known can end it in one step."""
    old, caller = await house.token(TokenKind.AGENT, "web-1")
    new, _ = await house.office.tokens.rotate(ROOT, caller.credential, 0)
    assert house.office.directory.by_token(old, house.now) is None
    assert house.office.directory.by_token(new, house.now) is not None


async def test_rotation_makes_nothing_last_longer(house: House) -> None:
    """It must be that both tokens end where the old one would have."""
    ends = house.now + 100
    old, caller = await house.token(TokenKind.API, scopes=("read",), expires=ends)
    new, _ = await house.office.tokens.rotate(ROOT, caller.credential)
    for text in (old, new):
        assert house.office.directory.by_token(text, ends - 1) is not None
        assert house.office.directory.by_token(text, ends) is None


async def test_a_token_is_rotated_once(house: House) -> None:
    """It must be that a second rotation does not make a token that ends with the overlap."""
    _, caller = await house.token(TokenKind.AGENT, "web-1")
    tokens = house.office.tokens
    _, heir = await tokens.rotate(ROOT, caller.credential)
    with pytest.raises(InputError) as raised:
        await tokens.rotate(ROOT, caller.credential)
    assert raised.value.code == "rotated_already"
    assert heir.id in raised.value.detail
    house.now += OVERLAP_SECONDS
    await tokens.revoke(ROOT, heir.id)
    with pytest.raises(InputError) as raised:
        await tokens.rotate(ROOT, caller.credential)
    assert raised.value.code == "token_expired"


async def test_rotating_an_enrolment_token_doubles_no_uses(house: House) -> None:
    """It must be that the uses go over to the new token."""
    old, caller = await house.token(TokenKind.ENROLL, uses=5)
    _, heir = await house.office.tokens.rotate(ROOT, caller.credential)
    assert house.office.directory.by_token(old, house.now) is None
    assert heir.uses == 5


async def test_two_rotations_at_once_leave_one(house: House) -> None:
    """It must be that who rotates what another process rotates just now is told so."""
    _, caller = await house.token(TokenKind.AGENT, "web-1")
    other = house.another()
    await other.load()
    results = await asyncio.gather(
        house.office.tokens.rotate(ROOT, caller.credential),
        other.tokens.rotate(ROOT, caller.credential),
        return_exceptions=True,
    )
    refused = [each for each in results if isinstance(each, InputError)]
    assert [each.code for each in refused] == ["changed_meanwhile"]
    assert len(await house.registry.keys("access/token/")) == 2


# Enrolment


async def test_a_use_is_a_hosts_token(house: House) -> None:
    """It must be that an exchange gives a token for one host, with the labels that were said."""
    _, caller = await house.token(TokenKind.ENROLL, "web-*", uses=2, labels={"role": "web"})
    text = await house.office.tokens.enroll(caller, ROOT, "web-1")
    agent = house.office.directory.by_token(text, house.now)
    assert agent is not None
    assert (agent.token, agent.hosts, agent.labels) == (
        TokenKind.AGENT,
        ("web-1",),
        {"role": "web"},
    )
    assert text.startswith("agt_")
    assert house.office.tokens.found(caller.credential).uses == 1


@pytest.mark.parametrize(
    ("host", "code", "status"),
    [
        ("db-1", "host_mismatch", 403),
        ("web-1", "host_taken", 409),
        ("web-*", "bad_host", 400),
        ("..", "bad_host", 400),
        ("", "bad_host", 400),
        ("web-\n", "bad_host", 400),
    ],
)
async def test_an_exchange_that_is_refused_costs_nothing(
    house: House, host: str, code: str, status: int
) -> None:
    """It must be that a wrong or taken host takes no use and makes no token."""
    await house.token(TokenKind.AGENT, "web-1")
    _, caller = await house.token(TokenKind.ENROLL, "web-*", uses=1)
    with pytest.raises(MonitorError) as raised:
        await house.office.tokens.enroll(caller, ROOT, host)
    assert (raised.value.code, raised.value.status) == (code, status)
    assert house.office.tokens.found(caller.credential).uses == 1
    assert len(house.office.directory.tokens) == 2


async def test_a_host_whose_token_has_expired_may_come_again(house: House) -> None:
    """It must be that a name is free once nobody can come in by it."""
    await house.token(TokenKind.AGENT, "web-1", expires=house.now + 10)
    _, caller = await house.token(TokenKind.ENROLL)
    house.now += 10
    assert await house.office.tokens.enroll(caller, ROOT, "web-1")


@pytest.mark.parametrize("processes", [1, 2])
async def test_as_many_exchanges_succeed_as_there_are_uses(house: House, processes: int) -> None:
    """It must be that of 40 exchanges at the same time exactly 7 succeed."""
    _, caller = await house.token(TokenKind.ENROLL, uses=7)
    offices = [house.office, *(house.another() for _ in range(processes - 1))]
    for office in offices:
        await office.load()
    results = await asyncio.gather(
        *(
            offices[number % processes].tokens.enroll(caller, ROOT, f"web-{number}")
            for number in range(40)
        ),
        return_exceptions=True,
    )
    refused = [each for each in results if isinstance(each, MonitorError)]
    assert len(refused) == 33
    assert {(each.code, each.status) for each in refused} == {("token_used_up", 403)}
    again = house.another()
    await again.load()
    made = [each for each in again.tokens.all() if each.kind is TokenKind.AGENT]
    assert len({each.hosts for each in made}) == len(made) == 7
    assert again.tokens.found(caller.credential).uses == 0


async def test_nobody_is_told_that_uses_are_gone_while_there_are(house: House) -> None:
    """It must be that a hundred hosts that start at once all come in."""
    _, caller = await house.token(TokenKind.ENROLL, uses=100)
    texts = await asyncio.gather(
        *(house.office.tokens.enroll(caller, ROOT, f"web-{number}") for number in range(100))
    )
    assert len(set(texts)) == 100


async def test_two_hosts_of_one_name_do_not_both_come_in(house: House) -> None:
    """It must be that of two exchanges for one name at the same time one succeeds."""
    _, caller = await house.token(TokenKind.ENROLL, uses=10)
    results = await asyncio.gather(
        *(house.office.tokens.enroll(caller, ROOT, "web-1") for _ in range(10)),
        return_exceptions=True,
    )
    assert sum(isinstance(each, str) for each in results) == 1
    codes = {each.code for each in results if isinstance(each, MonitorError)}
    assert codes == {"host_taken"}
    assert house.office.tokens.found(caller.credential).uses == 9
    assert len(house.office.tokens.of_host("web-1")) == 1


async def test_expired_tokens_are_let_go_of(house: House) -> None:
    """It must be that what has expired is removed, and only that."""
    await house.token(TokenKind.AGENT, "web-1", expires=house.now + 10)
    await house.token(TokenKind.AGENT, "web-2", expires=house.now + 11)
    await house.token(TokenKind.AGENT, "web-3")
    house.now += 10
    assert await house.office.tokens.prune() == 1
    assert {each.hosts for each in house.office.tokens.all()} == {("web-2",), ("web-3",)}


async def test_an_agent_that_did_not_hear_the_answer_may_ask_again(house: House) -> None:
    """It must be that a lost answer costs no further use and leaves one token, for a while."""
    tokens, by_token = house.office.tokens, house.office.directory.by_token
    text, caller = await house.token(TokenKind.ENROLL, uses=1, labels={"role": "web"})
    first = await tokens.enroll(caller, ROOT, "web-1", "a" * 32)
    house.now += 300
    assert by_token(text, house.now) == caller
    second = await tokens.enroll(caller, ROOT, "web-1", "a" * 32)
    assert by_token(first, house.now) is None
    found = by_token(second, house.now)
    assert found is not None
    assert found.labels == {"role": "web"}
    house.now += 300
    with pytest.raises(MonitorError, match="has a token"):
        await tokens.enroll(caller, ROOT, "web-1", "a" * 32)


@pytest.mark.parametrize("change", ["agent", "no agent", "token", "rotated"])
async def test_nobody_else_gets_a_token_that_was_given(house: House, change: str) -> None:
    """It must be that only the same agent, by the same enrolment token, is given another."""
    tokens = house.office.tokens
    _, caller = await house.token(TokenKind.ENROLL, uses=5)
    text = await tokens.enroll(caller, ROOT, "web-1", "a" * 32)
    agent = "a" * 32
    if change == "agent":
        agent = "b" * 32
    elif change == "no agent":
        agent = ""
    elif change == "token":
        _, caller = await house.token(TokenKind.ENROLL, uses=5)
    else:
        own = house.office.directory.by_token(text, house.now)
        assert own is not None
        await tokens.rotate(ROOT, own.credential)
    with pytest.raises(MonitorError, match="has a token"):
        await tokens.enroll(caller, ROOT, "web-1", agent)
    assert house.office.directory.by_token(text, house.now) is not None
