"""Who may do what: see `monitor.core.access`."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core import access
from monitor.core.access import (
    EVERYTHING,
    NOBODY,
    OPEN,
    SCOPES,
    Caller,
    CallerKind,
    Clearance,
    Policy,
    Right,
    Role,
    TokenKind,
    View,
    clearance,
    matches,
    token_rights,
)
from monitor.model import EventType

HOSTS = st.text("abXYZ019._-", min_size=1, max_size=12)

PEOPLE = {
    Role.VIEWER: {Policy.READ, Policy.METRICS, Policy.ACCOUNT},
    Role.OPERATOR: {Policy.READ, Policy.METRICS, Policy.ACCOUNT, Policy.OPERATE},
    Role.ADMIN: {Policy.READ, Policy.METRICS, Policy.ACCOUNT, Policy.OPERATE, Policy.ADMIN},
}


def person(role: Role, *hosts: str) -> Caller:
    return Caller(CallerKind.PERSON, "ann", role.rights, hosts or ("*",), "0123456789")


@pytest.mark.parametrize("policy", Policy)
@pytest.mark.parametrize("role", Role)
def test_each_role_has_its_routes(role: Role, policy: Policy) -> None:
    """It must be that a role opens the routes in the table and no other."""
    assert person(role).may(policy) is (policy in PEOPLE[role] or policy is Policy.PUBLIC)


@pytest.mark.parametrize("policy", Policy)
def test_nobody_and_everybody(policy: Policy) -> None:
    """It must be that nobody has only public routes, and an open server's caller all but two."""
    assert NOBODY.may(policy) is (policy is Policy.PUBLIC)
    assert OPEN.may(policy) is (policy is not Policy.ENROLL)


def test_every_policy_but_one_asks_for_a_right() -> None:
    """It must be that a route without a right is public by name."""
    assert [each for each in Policy if each.right is None] == [Policy.PUBLIC]
    assert {each.right for each in Policy} - {None} == set(Right)


def test_no_machine_is_a_person() -> None:
    """It must be that no token has an account, and none that pushes may read."""
    for kind in TokenKind:
        rights = token_rights(kind, SCOPES)
        assert Right.ACCOUNT not in rights
        assert rights
        if kind is not TokenKind.API:
            assert not rights & {Right.READ, Right.METRICS, Right.OPERATE, Right.ADMIN}
    assert token_rights(TokenKind.API, ()) == frozenset()
    assert token_rights(TokenKind.API, ("everything", "")) == frozenset()
    # Each scope includes those before it.
    held = [token_rights(TokenKind.API, (scope,)) for scope in SCOPES]
    assert all(one < next_ for one, next_ in itertools.pairwise(held))


CLEARANCES = {
    EventType.APPROVAL: Clearance(Right.OPERATE, "web-1"),
    EventType.NOTICE: Clearance(Right.READ, None),
    **{each: Clearance(Right.ADMIN, None) for each in EventType if each.startswith("terminal_")},
}
"""Those that are not for whoever may see the host."""


@pytest.mark.parametrize("type_", EventType)
def test_every_event_takes_a_right(type_: EventType) -> None:
    """It must be that each type of event has a clearance, and that it is the table's."""
    usual = Clearance(Right.READ, "web-1")
    found = clearance(type_, {"host": "web-1", "kind": "server"})
    assert found == CLEARANCES.get(type_, usual)
    # A host that is none, or no text, leaves those who see every host.
    for data in ({}, {"host": None}, {"host": 7}, {"host": ["web-1"]}):
        assert clearance(type_, data).host is None
        assert not View(Role.ADMIN.rights, ("web-*",)).admits(clearance(type_, data))


def test_the_audit_trail_is_the_administrators() -> None:
    """It must be that no operator reads who did what, and nobody with a part of the hosts."""
    entry = clearance(EventType.NOTICE, {"kind": "audit", "host": "web-1"})
    assert View(Role.ADMIN.rights).admits(entry)
    assert EVERYTHING.admits(entry)
    assert not View(Role.OPERATOR.rights).admits(entry)
    assert not View(Role.ADMIN.rights, ("web-1",)).admits(entry)


@pytest.mark.parametrize(
    ("topic", "right"),
    [
        ("fleet", Right.READ),
        ("alerts", Right.READ),
        ("host:web-1", Right.READ),
        ("log", Right.READ),
        ("", Right.READ),
        ("approvals", Right.OPERATE),
        ("terminal:abc", Right.OPERATE),
    ],
)
def test_listening_takes_a_right(topic: str, right: Right) -> None:
    """It must be that approvals and consoles are the operators'."""
    assert access.topic_right(topic) is right


def test_a_view_is_of_its_hosts() -> None:
    """It must be that hosts outside of the globs are as if they were not there."""
    view = person(Role.VIEWER, "web-*", "db-?").view
    for host, seen in (
        ("web-1", True),
        ("web-", True),
        ("db-1", True),
        ("db-12", False),
        ("Web-1", False),
        ("xweb-1", False),
        ("web", False),
    ):
        assert view.sees(host) is seen
        assert view.admits(Clearance(Right.READ, host)) is seen
    assert not view.admits(Clearance(Right.OPERATE, "web-1"))
    assert not view.admits(Clearance(Right.READ, None))
    assert not View(frozenset(), ("*",)).sees("web-1")
    assert not View(Role.ADMIN.rights, ()).sees("web-1")
    assert person(Role.VIEWER).view == person(Role.VIEWER).view


@given(HOSTS, HOSTS)
def test_a_name_as_a_glob_is_that_host_alone(name: str, other: str) -> None:
    """It must be that dots and dashes in a glob mean themselves."""
    assert matches((name,), name)
    assert matches((name,), other) is (name == other)
    assert matches(("*",), other)
    assert matches((f"{name}*",), other) is other.startswith(name)
    assert not matches((), other)


@given(st.text(st.characters(exclude_categories=()), max_size=300))
def test_names_and_globs_are_plain(text: str) -> None:
    """It must be that a host's name is also a glob, and neither is empty, long or strange."""
    if access.is_host_name(text):
        assert access.is_glob(text)
        assert text.strip(".")
    if access.is_glob(text):
        assert text.isascii()
        assert text.isprintable()
        assert 1 <= len(text) <= 253
        assert not set(text) & set("/\\[]{} ,=")


@pytest.mark.parametrize("text", ["", ".", "..", "a b", "a\n", "a/b", "é", "*", "a" * 254])
def test_what_is_no_hosts_name(text: str) -> None:
    """It must be that what could be a path, or two lines, is no host's name."""
    assert not access.is_host_name(text)


def test_labels_do_not_make_another_caller() -> None:
    """It must be that a caller can be looked up whatever labels it carries."""
    one = Caller(CallerKind.TOKEN, "x", frozenset(), labels={"a": "b"})
    assert one == Caller(CallerKind.TOKEN, "x", frozenset())
    assert len({one, Caller(CallerKind.TOKEN, "x", frozenset())}) == 1
    assert one.said == "x"
    agent = Caller(CallerKind.TOKEN, "x", frozenset(), token=TokenKind.AGENT)
    assert agent.said == "agent token x"
