"""Every route, asked by everybody: nobody in who does not belong.

The routes are the application's own; who may ask for each stands here a second time, by hand, so
that a route that is new, or whose policy was changed, fails until somebody has thought of it.
"""

from __future__ import annotations

import functools
import re
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import msgspec
import pytest
import pytest_asyncio
from quart import Quart, Response

from monitor.access.tokens import Wish
from monitor.alerting.shipped import shipped
from monitor.alerting.standing import RuleState
from monitor.core.access import Policy, Role, TokenKind
from monitor.core.rates import Rates
from monitor.core.rules.reading import read_layers
from monitor.errors import StartError
from monitor.web import app as application
from monitor.web import bundle
from monitor.web.app import create_app, routed
from monitor.web.door import PLAIN_COOKIE
from monitor.web.pages import Pages
from monitor.web.push import PushEndpoint
from monitor.web.routes import Route
from tests.ingest.documents import simple
from tests.web.alerting import Judge
from tests.web.calling import HOST, Answer, Caller
from tests.web.house import HTML, PASSWORD, ROOT, PeopledRig

CPU = "system.cpu.utilization"

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

PEOPLE = frozenset({"viewer", "operator", "admin", "team"})
READERS = PEOPLE | {"api read", "api operate", "api admin", "api team", "open"}
SCRAPERS = READERS | {"api metrics"}
OWN = PEOPLE | {"open"}
ADMINS = frozenset({"admin", "api admin", "open"})
OPERATORS = ADMINS | {"operator", "api operate"}
PUSHERS = frozenset({"agent", "ingest", "open"})
ENROLLERS = frozenset({"enroll"})
KNOWN = SCRAPERS | PUSHERS | ENROLLERS
"""Whose credential is one.  All others are nobody."""

NAMELESS = ("expired session", "forged cookie", "deleted account", "nobody")
"""Who comes with no credential, or with a cookie that is none."""

REFUSED = ("expired token", "revoked token", "forged token", "garbage", "basic")
"""Who comes with an ``Authorization`` that is none."""

EVERYBODY = (*sorted(KNOWN - {"open"}), *NAMELESS, *REFUSED)
PUBLIC = frozenset(EVERYBODY) | {"open"}


@dataclass(frozen=True)
class Expected:
    """Who may, which address stands for the rule, and what whoever may gets."""

    who: frozenset[str]
    target: str
    status: int = 200
    body: Any = b""


TABLE: dict[tuple[str, str], Expected] = {
    ("GET", "/healthz"): Expected(PUBLIC, "/healthz"),
    ("GET", "/readyz"): Expected(PUBLIC, "/readyz"),
    ("GET", "/static/<path:path>"): Expected(PUBLIC, "/static/favicon.svg"),
    ("GET", "/favicon.ico"): Expected(PUBLIC, "/favicon.ico"),
    ("GET", "/install.sh"): Expected(PUBLIC, "/install.sh"),
    ("GET", f"/{bundle.NAME}"): Expected(PUBLIC, f"/{bundle.NAME}"),
    ("GET", "/ca.pem"): Expected(PUBLIC, "/ca.pem", 404),
    ("GET", "/login"): Expected(PUBLIC, "/login"),
    ("POST", "/login"): Expected(PUBLIC, "/login", 400),
    ("POST", "/logout"): Expected(PUBLIC, "/logout", 303),
    ("GET", "/"): Expected(READERS, "/"),
    ("GET", "/hosts/<name>"): Expected(READERS, "/hosts/web-1"),
    ("GET", "/events"): Expected(READERS, "/events"),
    ("GET", "/alerts"): Expected(READERS, "/alerts"),
    ("GET", "/alerts/rows"): Expected(READERS, "/alerts/rows"),
    ("GET", "/alerts/count"): Expected(READERS, "/alerts/count"),
    ("GET", "/alerts/<id_>"): Expected(READERS, "/alerts/web-1"),
    ("GET", "/rules"): Expected(READERS, "/rules"),
    ("GET", "/rules/<name>"): Expected(READERS, "/rules/disk_space"),
    ("GET", "/rules/backtest"): Expected(READERS, "/rules/backtest"),
    ("POST", "/rules/backtest"): Expected(READERS, "/rules/backtest", 400, {"toml": "x"}),
    ("POST", "/rules"): Expected(OPERATORS, "/rules", 303),
    ("GET", "/silences"): Expected(READERS, "/silences"),
    ("POST", "/silences"): Expected(OPERATORS, "/silences", 400, {"match": "x"}),
    ("POST", "/silences/preview"): Expected(OPERATORS, "/silences/preview", 200),
    ("POST", "/silences/<id_>/end"): Expected(OPERATORS, "/silences/0123456789/end", 404),
    ("POST", "/alerts/<id_>/ack"): Expected(OPERATORS, "/alerts/nothing/ack", 404),
    ("POST", "/alerts/<id_>/unack"): Expected(OPERATORS, "/alerts/nothing/unack", 404),
    ("POST", "/alerts/<id_>/silence"): Expected(OPERATORS, "/alerts/nothing/silence", 404),
    ("GET", "/api/v1/openapi.json"): Expected(READERS, "/api/v1/openapi.json"),
    ("GET", "/api/v1/hosts"): Expected(READERS, "/api/v1/hosts"),
    ("GET", "/api/v1/hosts/<host>"): Expected(READERS, "/api/v1/hosts/web-1"),
    ("DELETE", "/api/v1/hosts/<host>"): Expected(ADMINS, "/api/v1/hosts/nobody", 404),
    ("POST", "/api/v1/hosts/<host>/retire"): Expected(
        OPERATORS, "/api/v1/hosts/nobody/retire", 404
    ),
    ("POST", "/api/v1/hosts/<host>/adopt"): Expected(ADMINS, "/api/v1/hosts/nobody/adopt", 404),
    ("POST", "/hosts/<name>/retire"): Expected(OPERATORS, "/hosts/nobody/retire", 404),
    ("POST", "/hosts/<name>/adopt"): Expected(ADMINS, "/hosts/nobody/adopt", 404),
    ("POST", "/hosts/<name>/delete"): Expected(ADMINS, "/hosts/nobody/delete", 404),
    ("GET", "/api/v1/fleet/refused"): Expected(READERS, "/api/v1/fleet/refused"),
    ("GET", "/api/v1/hosts/<host>/series"): Expected(READERS, "/api/v1/hosts/web-1/series"),
    ("GET", "/api/v1/hosts/<host>/processes"): Expected(READERS, "/api/v1/hosts/web-1/processes"),
    ("GET", "/api/v1/hosts/<host>/markers"): Expected(READERS, "/api/v1/hosts/web-1/markers"),
    ("GET", "/api/v1/history"): Expected(READERS, f"/api/v1/history?host=web-1&metric={CPU}"),
    ("GET", "/api/v1/stream"): Expected(READERS, "/api/v1/stream?topics=fleet&follow=0"),
    ("GET", "/api/v1/alerts"): Expected(READERS, "/api/v1/alerts?state=all"),
    ("GET", "/api/v1/alerts/<alert>"): Expected(READERS, "/api/v1/alerts/web-1"),
    ("POST", "/api/v1/alerts/<alert>/ack"): Expected(OPERATORS, "/api/v1/alerts/none/ack", 404),
    ("DELETE", "/api/v1/alerts/<alert>/ack"): Expected(OPERATORS, "/api/v1/alerts/none/ack", 404),
    ("GET", "/api/v1/silences"): Expected(READERS, "/api/v1/silences"),
    ("POST", "/api/v1/silences"): Expected(OPERATORS, "/api/v1/silences", 415),
    ("POST", "/api/v1/silences/preview"): Expected(OPERATORS, "/api/v1/silences/preview", 415),
    ("DELETE", "/api/v1/silences/<string(minlength=8):silence>"): Expected(
        OPERATORS, "/api/v1/silences/0123456789", 404
    ),
    ("GET", "/api/v1/rules"): Expected(READERS, "/api/v1/rules"),
    ("POST", "/api/v1/rules/reload"): Expected(OPERATORS, "/api/v1/rules/reload"),
    ("POST", "/api/v1/rules/backtest"): Expected(READERS, "/api/v1/rules/backtest", 415),
    ("GET", "/api/v1/channels"): Expected(READERS, "/api/v1/channels"),
    ("POST", "/api/v1/channels/<channel>/test"): Expected(
        OPERATORS, "/api/v1/channels/none/test", 404
    ),
    ("GET", "/metrics"): Expected(SCRAPERS, "/metrics"),
    ("POST", "/api/v1/push"): Expected(PUSHERS, "/api/v1/push", 200, "push"),
    ("GET", "/api/v1/agent"): Expected(PUSHERS, "/api/v1/agent", 426),
    ("POST", "/api/v1/write"): Expected(PUSHERS, "/api/v1/write", 415),
    ("POST", "/v1/metrics"): Expected(PUSHERS, "/v1/metrics", 415),
    ("POST", "/v1/traces"): Expected(PUSHERS, "/v1/traces", 404),
    ("POST", "/v1/logs"): Expected(PUSHERS, "/v1/logs", 404),
    ("POST", "/api/v1/enroll"): Expected(ENROLLERS, "/api/v1/enroll", 415),
    ("GET", "/settings"): Expected(OWN, "/settings"),
    ("GET", "/settings/sessions"): Expected(OWN, "/settings/sessions"),
    ("GET", "/settings/about"): Expected(OWN, "/settings/about"),
    ("POST", "/settings/password"): Expected(
        PEOPLE, "/settings/password", 400, {"old": "x", "new": "y", "again": "z"}
    ),
    ("POST", "/settings/sessions/end-others"): Expected(
        PEOPLE, "/settings/sessions/end-others", 303
    ),
    ("POST", "/settings/sessions/<id_>/end"): Expected(
        OWN, "/settings/sessions/0123456789/end", 404
    ),
    ("GET", "/settings/accounts"): Expected(ADMINS, "/settings/accounts"),
    ("POST", "/settings/accounts"): Expected(ADMINS, "/settings/accounts", 400, {"name": "x"}),
    ("GET", "/settings/accounts/<name>"): Expected(ADMINS, "/settings/accounts/vic"),
    ("POST", "/settings/accounts/<name>/role"): Expected(
        ADMINS, "/settings/accounts/vic/role", 400, {"role": "king"}
    ),
    ("POST", "/settings/accounts/<name>/password"): Expected(
        ADMINS, "/settings/accounts/vic/password", 400, {"password": "short"}
    ),
    ("POST", "/settings/accounts/<name>/delete"): Expected(
        ADMINS, "/settings/accounts/nobody/delete", 404
    ),
    ("GET", "/settings/tokens"): Expected(ADMINS, "/settings/tokens"),
    ("GET", "/settings/flows"): Expected(ADMINS, "/settings/flows"),
    ("POST", "/settings/tokens"): Expected(ADMINS, "/settings/tokens", 400, {"kind": "king"}),
    ("POST", "/settings/tokens/<id_>/rotate"): Expected(
        ADMINS, "/settings/tokens/0123456789/rotate", 404
    ),
    ("POST", "/settings/tokens/<id_>/revoke"): Expected(
        ADMINS, "/settings/tokens/0123456789/revoke", 404
    ),
}

BESIDE = {
    "/api/v1/stream": {"GET", "HEAD"},
    "/api/v1/agent": {"GET"},
    "/api/v1/push": {"POST"},
    "/api/v1/write": {"POST"},
    "/v1/metrics": {"POST"},
    "/v1/traces": {"POST"},
    "/v1/logs": {"POST"},
}
"""What these answer is their own; the framework knows nothing of their methods."""

HEADERS = {
    "content-security-policy": "default-src 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


def know_a_rule(rig: PeopledRig) -> Judge:
    """Have the judge know the shipped rules, one of which fires."""
    judge = rig.alerting.judge
    judge.rules, _ = read_layers([shipped()])
    judge.stated = [RuleState(judge.rules.rules["disk_space"], 2, 2, 2, 0)]
    return judge


class Crawled:
    """A server with everybody in it: the callers by name, and what they ask."""

    def __init__(self, rig: PeopledRig) -> None:
        self.rig = rig
        rig.door._requests = rig.door._pushes = Rates(1e9, 1e9, 1_000)
        self.application = create_app(rig.services)
        self.headers: dict[str, dict[str, str]] = {}
        self.ids: dict[str, str] = {}

    async def settle(self) -> None:
        """Hosts that some see, and everybody who comes."""
        rig = self.rig
        judge = know_a_rule(rig)
        for host in ("web-1", "db-1"):
            await rig.send({CPU: 0.5}, {"processes": [{"pid": 1, "name": "init"}]}, host=host)
            await judge.say(host, host)  # an alert that is called as its host is
        await rig.pipeline.tick(time.time())
        for name, role in (("vic", Role.VIEWER), ("oscar", Role.OPERATOR), ("ann", Role.ADMIN)):
            await rig.person(name, role)
        await rig.person("tim", Role.VIEWER, "web-*")
        await rig.person("gone", Role.ADMIN)
        self.headers["nobody"] = {}
        for who, name in PERSONS.items():
            await self.log_in(who, name)
        await rig.office.accounts.delete(ROOT, "gone")
        session = rig.office.directory.sessions[self.ids["expired session"]]
        records = rig.office.accounts._records
        await records.update(msgspec.structs.replace(session, expires=time.time() - 1))
        forged = self.headers["admin"]["cookie"]
        self.headers["forged cookie"] = {
            "cookie": forged[:-1] + ("a" if forged[-1] != "a" else "b")
        }
        for who, wish in TOKENS.items():
            await self.token(who, wish)
        expired = rig.office.directory.tokens[self.ids["expired token"]]
        await records.update(msgspec.structs.replace(expired, expires=time.time() - 1))
        await rig.office.tokens.revoke(ROOT, self.ids["revoked token"])
        self.headers["garbage"] = {"authorization": "Bearer garbage"}
        self.headers["basic"] = {"authorization": "Basic YW5uOmFubg=="}
        forged = self.headers["api admin"]["authorization"]
        self.headers["forged token"] = {
            "authorization": forged[:-1] + ("a" if forged[-1] != "a" else "b")
        }

    async def log_in(self, who: str, name: str) -> None:
        """Another session of a person, by which it is known from now on."""
        found = await self.rig.office.accounts.log_in(
            name, PASSWORD, remember=False, address="127.0.0.1", agent="crawl"
        )
        assert found is not None
        self.headers[who] = {"cookie": f"{PLAIN_COOKIE}={found[0]}"}
        self.ids[who] = found[1].id

    async def token(self, who: str, wish: Wish) -> None:
        """A token, by which somebody is known from now on."""
        text, token = await self.rig.office.tokens.create(ROOT, wish)
        self.headers[who] = {"authorization": f"Bearer {text}"}
        self.ids[who] = token.id

    def caller(self, who: str, **more: str) -> Caller:
        return Caller(self.application, self.headers[who] | more)

    def form_token(self, who: str) -> str:
        """What this one's forms carry."""
        directory = self.rig.office.directory
        _, _, text = self.headers[who].get("cookie", "").partition("=")
        caller = directory.by_cookie(text, time.time())
        return self.rig.door.form_token(caller) if caller else ""

    def form(self, who: str, fields: Mapping[str, str]) -> dict[str, str]:
        return {**fields, "form_token": self.form_token(who)}

    async def ask(self, who: str, method: str, expected: Expected) -> Answer:
        """What a route is asked for, with all that whoever may has got."""
        ask = self.caller(who)
        if expected.body == "push" and method == "POST":
            return await ask(method, expected.target, simple(a=1), content_type="application/json")
        if method == "POST":
            return await ask(method, expected.target, self.form(who, expected.body or {}))
        if method == "DELETE":  # as a script does: no page of another site can send it unasked
            return await ask(method, expected.target, content_type="application/json")
        return await ask(method, expected.target)


PERSONS = {
    "viewer": "vic",
    "operator": "oscar",
    "admin": "ann",
    "team": "tim",
    "expired session": "ann",
    "deleted account": "gone",
}

TOKENS = {
    "agent": Wish(TokenKind.AGENT, ("web-1",)),
    "ingest": Wish(TokenKind.INGEST, ("web-*",)),
    "enroll": Wish(TokenKind.ENROLL, ("web-*",), uses=1_000),
    **{
        f"api {scope}": Wish(TokenKind.API, scopes=(scope,))
        for scope in ("metrics", "read", "operate", "admin")
    },
    "expired token": Wish(TokenKind.API, scopes=("admin",)),
    "revoked token": Wish(TokenKind.API, scopes=("admin",)),
    "api team": Wish(TokenKind.API, ("web-*",), scopes=("read",)),
}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def crawled() -> AsyncIterator[Crawled]:
    """Everybody, and a server that has accounts."""
    rig = PeopledRig("main")
    await rig.hub.start()
    made = Crawled(rig)
    await made.settle()
    yield made
    await rig.hub.stop()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def opened() -> AsyncIterator[Crawled]:
    """A server that is open."""
    rig = PeopledRig("main")
    await rig.hub.start()
    made = Crawled(rig)
    judge = know_a_rule(rig)
    for host in ("web-1", "db-1"):
        await rig.send({CPU: 0.5}, {"processes": [{"pid": 1, "name": "init"}]}, host=host)
        await judge.say(host, host)
    await rig.pipeline.tick(time.time())
    # There is nobody to be named in an address of an account's: whoever makes one ends it.
    made.headers["open"] = {}
    yield made
    await rig.hub.stop()


module = pytest.mark.asyncio(loop_scope="module")


@functools.cache
def rules() -> dict[str, set[str]]:
    """Every rule of the application, with the methods that it answers."""
    found: dict[str, set[str]] = {}
    for route in routed(PeopledRig().services).routes:
        methods = BESIDE[route.rule] if not route.methods else set(route.methods)
        found.setdefault(route.rule, set()).update(methods)
    return found


async def test_no_route_is_missing() -> None:
    """It must be that the table above names every route with every method, and no other."""
    served = {
        (method, rule)
        for rule, methods in rules().items()
        for method in methods - {"HEAD", "OPTIONS"}
    }
    assert served == set(TABLE)


def well_made(answer: Answer, method: str, what: str) -> None:
    """What holds for every answer to anybody."""
    assert answer.status < 500, what
    for name, value in HEADERS.items():
        assert value in answer.headers[name], (what, name)
    assert "access-control-allow-origin" not in answer.headers, what
    assert "cache-control" in answer.headers, what
    assert b"Traceback" not in answer.body, what
    if answer.status == 401:
        assert answer.headers["www-authenticate"].startswith("Bearer"), what
        assert answer.headers["connection"] == "close", what
    if answer.status >= 400 and method != "HEAD":
        assert answer.code is not None, what


def outcome(who: str, expected: Expected, method: str) -> tuple[int, str | None]:
    """What a route must answer somebody: its status, and the problem's code."""
    if who in expected.who:
        if expected.target == "/login" and method in {"GET", "HEAD"} and who in PEOPLE:
            return 303, None
        return expected.status, None
    return (401, "auth_required") if who in (*NAMELESS, *REFUSED) else (403, "forbidden")


async def walk(crawled: Crawled, who: str) -> int:
    """One of them, at every route with every method; how many requests that were."""
    count = 0
    for rule, methods in rules().items():
        at = {method: TABLE[method, rule] for method in METHODS if (method, rule) in TABLE}
        for method in METHODS:
            stands_for = {"HEAD": "GET"}.get(method, method)
            expected = at.get(stands_for, next(iter(at.values())))
            answer = await crawled.ask(who, method, expected)
            if method == "POST" and who in PERSONS and who in KNOWN:
                await crawled.log_in(who, PERSONS[who])  # some routes end what they came with
            what = f"{who}: {method} {expected.target}: {answer.status} {answer.body[:200]!r}"
            well_made(answer, method, what)
            count += 1
            status, code = outcome(who, expected, method)
            if stands_for in at:
                assert answer.status == status, what
            elif rule not in BESIDE and method not in methods:
                assert answer.status == 405, what
                code = "method_not_allowed"
            elif who in expected.who:
                assert answer.status == (405 if rule in BESIDE else 200), what
                assert "allow" in answer.headers
                continue
            else:
                assert answer.status == status, what
            if method != "HEAD" and answer.status >= 400 and answer.status != expected.status:
                assert answer.code == code, what
    return count


@module
@pytest.mark.parametrize("who", EVERYBODY)
async def test_who_may_and_who_may_not(crawled: Crawled, who: str) -> None:
    """It must be that each gets what is theirs, a 401 or a 403, and nobody a fault of ours."""
    assert await walk(crawled, who) == len(rules()) * len(METHODS)


@module
async def test_whoever_connects_to_an_open_server_is_its_administrator(opened: Crawled) -> None:
    """It must be that an open server gives all but what takes a person or an enrolment."""
    for (method, rule), expected in TABLE.items():
        if "/<name>" in rule and rule.startswith("/settings"):
            wanted = replace(expected, status=404)
        else:
            wanted = expected
        answer = await opened.ask("open", method, wanted)
        what = f"{method} {rule}: {answer.status} {answer.body[:200]!r}"
        well_made(answer, method, what)
        assert answer.status == outcome("open", wanted, method)[0], what
    assert opened.rig.door.is_open


@module
@pytest.mark.parametrize("who", NAMELESS)
async def test_a_browser_without_a_login_is_shown_the_way_to_it(crawled: Crawled, who: str) -> None:
    """It must be that pages lead to the login and back, and that only what is public is shown."""
    shown = set()
    for (method, rule), expected in TABLE.items():
        if method != "GET":
            continue
        answer = await crawled.caller(who, **HTML)("GET", expected.target)
        if answer.status == 200 or expected.status == 404:
            assert answer.status == expected.status, rule
            shown.add(rule)
        elif rule.startswith("/api/"):
            assert answer.status == 401, rule
        else:
            where = answer.headers["location"]
            assert (answer.status, where.partition("?")[0]) == (303, "/login"), rule
            assert answer.body == b""
    public = {"/healthz", "/readyz", "/login", "/static/<path:path>", "/favicon.ico"}
    public |= {"/install.sh", f"/{bundle.NAME}", "/ca.pem"}
    assert shown == public


@module
@pytest.mark.parametrize(
    "target",
    [
        "/nowhere",
        "/settings/",
        "//settings",
        "/settings//accounts",
        "/Settings",
        "/settings%2faccounts",
        "/settings/tokens/x",
        "/api/v1",
        "/api/v1/stream/",
        "/api/v1/push/",
        "//api/v1/push",
        "/api/v2/hosts",
        "/static/",
        "/static/../settings",
        "/static/..%2fsettings",
        "/hosts/",
        "/metrics/",
        "/.env",
    ],
)
async def test_what_is_not_there_is_not_there_for_anybody(crawled: Crawled, target: str) -> None:
    """It must be that an unknown address answers everybody the same, logged in or not."""
    answers = [await crawled.caller(who)("GET", target) for who in EVERYBODY]
    statuses = {answer.status for answer in answers}
    if target in {"//settings", "/settings%2faccounts"}:
        assert statuses == {200, 401, 403}  # other spellings of a page, behind the same door
        return
    assert statuses == {404}
    assert len({answer.body for answer in answers}) == 1
    assert len({tuple(sorted(answer.headers.items())) for answer in answers}) == 1


HIDDEN = (
    "/hosts/{}",
    "/alerts/{}",
    "/api/v1/alerts/{}",
    "/api/v1/alerts?host={}",
    "/api/v1/hosts/{}",
    "/api/v1/hosts/{}/series",
    "/api/v1/hosts/{}/processes",
    "/api/v1/hosts/{}/markers",
    f"/api/v1/history?metric={CPU}&host={{}}",
    f"/api/v1/history?metric={CPU}&host=web-1&host={{}}",
    f"/api/v1/history?metric={CPU}&match=host={{}}",
    f"/api/v1/history?metric={CPU}&match=host={{}}&aggregate=avg",
    f"/api/v1/history?metric={CPU}&host={{}}&format=csv",
    "/api/v1/stream?follow=0&topics=host:{}",
    "/api/v1/stream?follow=0&topics=fleet,host:{}",
)


def same(foreign: Answer, missing: Answer) -> None:
    """Two answers must be one, but for the name that was asked for."""
    assert foreign.status == missing.status
    assert foreign.headers == missing.headers

    def plain(answer: Answer, name: bytes) -> bytes:
        body = answer.body.replace(name, b"NAME")
        return re.sub(rb'"(start|end|at|now)":[0-9.]+', b"", body)

    assert plain(foreign, b"db-1") == plain(missing, b"db-9")


@module
@pytest.mark.parametrize("who", ["team", "api team"])
@pytest.mark.parametrize("target", HIDDEN)
@pytest.mark.parametrize("accept", ["*/*", "text/html", "text/plain"])
async def test_a_host_that_is_hidden_is_a_host_that_is_missing(
    crawled: Crawled, who: str, target: str, accept: str
) -> None:
    """It must be that status, headers and every byte are those of a name that nobody has."""
    ask = crawled.caller(who, accept=accept)
    foreign, missing = (
        await ask("GET", target.format("db-1")),
        await ask("GET", target.format("db-9")),
    )
    same(foreign, missing)
    if "match" in target:
        assert foreign.status in {200, 404}
        assert b"db-1" not in foreign.body.replace(b"host=db-1", b"")
    else:
        assert foreign.status == (400 if "host={}" in target else 404)
    if "stream" not in target or accept == "*/*":
        for name, host in ((who, "web-1"), ("admin", "db-1")):
            seen = await crawled.caller(name, accept=accept)("GET", target.format(host))
            assert seen.status == 200


@module
@pytest.mark.parametrize("who", ["team", "api team"])
@pytest.mark.parametrize("accept", ["*/*", "text/html", "text/plain"])
@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/alerts",
        "/alerts?match=host=*",
        "/alerts/rows",
        "/api/v1/alerts?state=all",
        "/api/v1/silences",
        "/api/v1/rules",
        "/events",
        "/events?q=db-1&kind=host",
        "/hosts/web-1",
        "/api/v1/hosts",
        f"/api/v1/history?metric={CPU}&match=host=*",
        "/api/v1/stream?follow=0&topics=fleet,log,alerts&last_event_id=0-0",
        "/metrics",
    ],
)
async def test_no_list_names_a_host_that_is_hidden(
    crawled: Crawled, who: str, target: str, accept: str
) -> None:
    """It must be that what is gathered from many hosts is gathered from those that are seen."""
    if "stream" in target:
        accept = "text/event-stream"
    await crawled.log_in("admin", "ann")
    admins = await crawled.caller("admin", accept=accept)("GET", target)
    found = await crawled.caller(who, accept=accept)("GET", target)
    assert found.status == admins.status == 200
    assert b"db-1" not in re.sub(rb'(value="|q=|about |search.{0,9})db-1', b"", found.body)
    if target in {
        "/",
        "/alerts",
        "/alerts/rows",
        "/api/v1/alerts?state=all",
        "/api/v1/hosts",
        "/events?q=db-1&kind=host",
    }:
        assert b"db-1" in admins.body


@module
async def test_what_is_anothers_is_missing_too(crawled: Crawled) -> None:
    """It must be that a foreign session cannot be told from none, and an administrator ends it."""
    await crawled.log_in("admin", "ann")
    await crawled.log_in("viewer", "vic")
    ask = crawled.caller("viewer")
    form = crawled.form("viewer", {})
    foreign = await ask("POST", f"/settings/sessions/{crawled.ids['admin']}/end", form)
    missing = await ask("POST", "/settings/sessions/0123456789/end", form)
    assert (foreign.status, foreign.code) == (404, "unknown_session")
    assert (foreign.headers, foreign.body) == (missing.headers, missing.body)
    own = await ask("POST", f"/settings/sessions/{crawled.ids['viewer']}/end", form)
    assert own.status == 303
    assert (await ask("GET", "/")).status == 401
    for path in ("accounts/ann/role", "accounts/zoe/role", "tokens/0123456789/revoke"):
        await crawled.log_in("operator", "oscar")
        answer = await crawled.caller("operator")(
            "POST", f"/settings/{path}", crawled.form("operator", {"role": "admin"})
        )
        assert (answer.status, answer.code) == (403, "forbidden")


@module
async def test_a_token_writes_what_is_its_own(crawled: Crawled) -> None:
    """It must be that a foreign host is refused like one that is not there, and written down."""

    async def push(who: str, host: str) -> Answer:
        body = simple(a=1).replace(b"web-1", host.encode())
        return await crawled.caller(who)(
            "POST", "/api/v1/push", body, content_type="application/json"
        )

    for who in ("agent", "ingest"):
        await crawled.token(who, TOKENS[who])  # others of its refusals have been written down
    assert (await push("agent", "web-1")).status == 200
    assert (await push("ingest", "web-7")).status == 200
    for who in ("agent", "ingest"):
        foreign, missing = await push(who, "db-1"), await push(who, "db-9")
        assert (foreign.status, foreign.code) == (403, "host_mismatch")
        same(foreign, missing)
    refused = [entry for entry in await crawled.rig.audited() if entry[0] == "host_mismatch"]
    assert ("host_mismatch", "POST /api/v1/push", "refused") in refused


CHANGING = [rule for method, rule in TABLE if method == "POST"]


@module
@pytest.mark.parametrize("rule", CHANGING)
async def test_another_sites_page_changes_nothing(crawled: Crawled, rule: str) -> None:
    """It must be that origin and fetch site are looked at before anything else, everywhere."""
    expected = TABLE["POST", rule]
    for headers in (
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": f"https://{HOST}"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "cross-site", "origin": f"http://{HOST}"},
    ):
        for who in ("admin", "agent", "nobody"):
            caller = crawled.caller(who, **headers)
            answer = await caller("POST", expected.target, crawled.form(who, {}))
            assert (answer.status, answer.code) == (403, "csrf"), (rule, headers, who)
            assert answer.headers["connection"] == "close"


@module
@pytest.mark.parametrize("rule", [rule for rule in CHANGING if rule.startswith("/settings")])
async def test_a_form_shows_that_it_is_this_sessions(crawled: Crawled, rule: str) -> None:
    """It must be that a cookie alone changes nothing: nor with another session's form token."""
    await crawled.log_in("admin", "ann")
    ask, target = crawled.caller("admin"), TABLE["POST", rule].target
    for token in (
        None,
        "",
        "0" * 64,
        crawled.form_token("viewer"),
        "\udcff".encode("utf-8", "replace").decode(),
    ):
        fields = {} if token is None else {"form_token": token}
        answer = await ask("POST", target, fields or {"other": "x"})
        assert (answer.status, answer.code) == (403, "csrf"), token
    for kind in ("text/plain", "multipart/form-data; boundary=x", "application/jsonp", ""):
        answer = await ask("POST", target, b"form_token=x", content_type=kind)
        assert answer.status in {400, 403}, kind
    as_json = await ask("POST", target, b"{}", content_type="application/json")
    assert (as_json.status, as_json.code) == (403, "csrf")
    assert "ann" in crawled.rig.office.directory.accounts


def nothing_of(_self: object = None) -> Response:
    """A handler."""
    return Response(b"")


def test_a_route_without_a_policy_is_no_application(monkeypatch: pytest.MonkeyPatch) -> None:
    """It must be that nothing starts whose routes do not all say who may ask for them."""
    made = Pages.__init__

    def with_one_more(self: Pages, *arguments: Any) -> None:
        made(self, *arguments)
        handler = cast("Any", nothing_of)
        more = Route("/back", "back", handler, cast("Policy", None))
        self.routes = (*self.routes, more)  # type: ignore[assignment]

    monkeypatch.setattr(Pages, "__init__", with_one_more)
    with pytest.raises(StartError, match="/back does not say who may ask"):
        create_app(PeopledRig().services)


def test_a_rule_that_no_table_has_is_no_application(monkeypatch: pytest.MonkeyPatch) -> None:
    """It must be that a route that came by the framework itself is found as well."""

    class Another(Quart):
        def __init__(self, *arguments: Any, **more: Any) -> None:
            super().__init__(*arguments, **more)
            self.add_url_rule("/side", "side", nothing_of)

    monkeypatch.setattr(application, "Quart", Another)
    with pytest.raises(StartError, match="/side does not say who may ask"):
        create_app(PeopledRig().services)


def test_what_is_served_beside_has_a_policy_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """It must be that streams and pushes are no exception."""
    monkeypatch.delattr(PushEndpoint, "policy")
    with pytest.raises(StartError, match="/api/v1/push does not say who may ask"):
        create_app(PeopledRig().services)
