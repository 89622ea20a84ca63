"""The application: routes and who may ask for each, static files, errors, compression.

Every rule of the router and every path beside it has a policy; an application that has one
without is not made.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, cast
from urllib.parse import quote

import structlog
from quart import Quart, Response, request
from werkzeug.exceptions import HTTPException

from monitor.core.access import Policy
from monitor.errors import MonitorError, StartError
from monitor.ingest.otlp import Otlp
from monitor.ingest.remote_write import RemoteWrite
from monitor.web.agentsocket import AgentEndpoint
from monitor.web.alertpage import AlertPages
from monitor.web.alertspage import AlertsPages
from monitor.web.api import Api
from monitor.web.asgi import Application, Receive, Scope, Send
from monitor.web.assets import StaticFile
from monitor.web.backtestpage import BacktestPage
from monitor.web.compression import GZIP_LEVEL, LARGE_BYTES, LEAST_GZIP_BYTES, accepts_gzip
from monitor.web.connections import AGENTS_PATH
from monitor.web.crosssite import SAFE_METHODS
from monitor.web.door import Door, came_by_cookie
from monitor.web.edge import Edge
from monitor.web.endpoint import PATH as STREAM_PATH
from monitor.web.endpoint import StreamEndpoint
from monitor.web.eventspage import Events
from monitor.web.flows import Flows
from monitor.web.forms import FORM
from monitor.web.forwarded import Proxies
from monitor.web.hostactions import HostActions
from monitor.web.installing import Installing
from monitor.web.login import Login
from monitor.web.otlp import OTHERS as OTHER_SIGNALS
from monitor.web.otlp import PATH as OTLP_PATH
from monitor.web.otlp import OtherSignal, OtlpEndpoint
from monitor.web.pages import Pages
from monitor.web.printing import Printer
from monitor.web.problems import CHALLENGE, CONTENT_TYPE, Problem, of_error, of_status
from monitor.web.push import PATH as PUSH_PATH
from monitor.web.push import PushEndpoint
from monitor.web.routes import Route
from monitor.web.rulespage import RulesPages
from monitor.web.services import Services
from monitor.web.settings import Settings
from monitor.web.silencespage import SilencesPages
from monitor.web.write import PATH as WRITE_PATH
from monitor.web.write import WriteEndpoint

LONGEST_BODY_BYTES = 64 * 1024
"""No route of the framework takes a body today; pushes are read beside it."""

BODY_SECONDS = 10
"""How long a body may take to come."""

RETRY_AFTER_SECONDS = 5
"""When to try again what could not be answered for now."""

_COMPRESSED = frozenset({"text/html", "text/plain", "application/json", "image/svg+xml"})


def create_app(
    services: Services, allowed_hosts: tuple[str, ...] = (), proxies: Proxies | None = None
) -> Edge:
    """The ASGI application, edge included.  Nothing is opened or started by it."""
    return Edge(routed(services), allowed_hosts, proxies)


def routed(services: Services) -> Routed:
    """The same without the edge, as it knows its routes."""
    app = Quart("monitor", static_folder=None, template_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = LONGEST_BODY_BYTES
    app.config["BODY_TIMEOUT"] = BODY_SECONDS
    app.url_map.strict_slashes = True
    app.url_map.merge_slashes = False
    printer = Printer(services)
    pages = Pages(services, printer)
    installing = Installing(services)
    rooms = (
        pages,
        AlertsPages(services, printer),
        AlertPages(services, printer),
        RulesPages(services, printer),
        BacktestPage(services, printer),
        SilencesPages(services, printer),
        Events(services, printer),
        Login(services, printer),
        Settings(services, printer, installing),
        installing,
        HostActions(services),
        Flows(services, printer),
    )
    policies = _added(
        app, [*_routes(services), *(route for room in rooms for route in room.routes)]
    )
    app.before_request(_Admission(services.door, policies).admit)
    faults = _Faults(pages)
    app.register_error_handler(MonitorError, faults.show_error)
    app.register_error_handler(HTTPException, faults.show_http_error)
    app.register_error_handler(Exception, faults.show_fault)
    app.after_request(_compress)
    beside: dict[str, Beside] = {
        STREAM_PATH: StreamEndpoint(services),
        PUSH_PATH: PushEndpoint(
            services.intake,
            services.door.report_refusal,
            services.door.require_still,
            services.load,
            services.bodies,
            services.hub.watched,
        ),
        AGENTS_PATH: AgentEndpoint(services),
        **_gathered(services),
    }
    listed = tuple(
        Listed(rule.rule, frozenset(rule.methods or ()), policies[rule.endpoint])
        for rule in app.url_map.iter_rules()
    )
    return Routed(cast("Application", app), listed, beside, services.door)


def _gathered(services: Services) -> dict[str, Beside]:
    """What takes series from others' senders, each in its own protocol."""
    intake, door = services.intake, services.door
    given = (
        intake.lanes,
        intake.take,
        services.fleet,
        services.clock,
        services.store.oldest_accepted,
    )
    common = (door.report_refusal, door.require_still, services.load, services.bodies)
    return {
        WRITE_PATH: WriteEndpoint(RemoteWrite(*given), *common),
        OTLP_PATH: OtlpEndpoint(Otlp(*given), *common),
        **{path: OtherSignal(services.bodies) for path in OTHER_SIGNALS},
    }


@dataclass(frozen=True, slots=True)
class Listed:
    """An address that is served: its rule, its methods (all, where none is named), who may ask."""

    rule: str
    methods: frozenset[str]
    policy: Policy


class Beside(Protocol):
    """What is served beside the framework: an ASGI application with a policy."""

    @property
    def policy(self) -> Policy:
        """Who may ask."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send, /) -> None:
        """Answer a request that has passed the door."""

    async def refuse(
        self, error: MonitorError, scope: Scope, receive: Receive, send: Send, /
    ) -> None:
        """Answer one that has not."""


class Routed:
    """The framework's application, and beside it, by path, what is not served by it.

    `routes` is all of it.  Raises `StartError` where something does not say who may ask for it.
    """

    def __init__(
        self,
        application: Application,
        listed: tuple[Listed, ...],
        beside: Mapping[str, Beside],
        door: Door,
    ) -> None:
        self._application = application
        self._beside = beside
        self._door = door
        for path, served in beside.items():
            if not isinstance(getattr(served, "policy", None), Policy):
                raise StartError(f"the route {path} does not say who may ask for it")
        others = (Listed(path, frozenset(), served.policy) for path, served in beside.items())
        self.routes = (*listed, *others)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection's scope."""
        found = self._beside.get(scope["path"]) if scope["type"] == "http" else None
        if found is None:
            await self._application(scope, receive, send)
            return
        try:
            self._door.admit(scope, found.policy)
        except MonitorError as error:
            await self._door.report_refusal(scope, error)
            await found.refuse(error, scope, receive, send)
        else:
            await found(scope, receive, send)


class _Admission:
    """The door, as the framework asks it before each of its routes."""

    def __init__(self, door: Door, policies: Mapping[str, Policy]) -> None:
        self._door = door
        self._policies = policies

    async def admit(self) -> None:
        """Raise where whoever asks may not."""
        rule = request.url_rule
        if rule is None:
            return  # there is nothing there, for anybody
        scope = cast("Scope", request.scope)
        policy = self._policies[rule.endpoint]
        try:
            caller = self._door.admit(scope, policy)
        except MonitorError as error:
            await self._door.report_refusal(scope, error)
            raise
        if policy is Policy.PUBLIC or request.method in SAFE_METHODS:
            return
        # JSON to the API needs no token: a page of another site cannot send it unasked.
        is_script = request.mimetype == "application/json" and request.path.startswith("/api/")
        if came_by_cookie(scope) and not is_script:
            form = await request.form
            self._door.require_form_token(caller, form.get("form_token"))
        elif request.mimetype == FORM:
            await request.form
        else:
            await request.get_data()
        self._door.require_still(scope)


def _added(app: Quart, routes: list[Route]) -> dict[str, Policy]:
    """Add routes to the router; the policy of each of its endpoints.

    Raises `StartError` where the router has a rule that none of them made.
    """
    policies: dict[str, Policy] = {}
    for route in routes:
        app.add_url_rule(route.rule, route.name, route.handler, methods=list(route.methods))
        policies[route.name] = route.policy
    for rule in app.url_map.iter_rules():
        if not isinstance(policies.get(rule.endpoint), Policy):
            raise StartError(f"the route {rule.rule} does not say who may ask for it")
    return policies


def _routes(services: Services) -> list[Route]:
    """The API's routes and the static files."""
    routes = [
        Route(
            operation.rule,
            operation.name,
            operation.handler,
            operation.policy,
            (operation.method,),
        )
        for operation in Api(services).operations
        if operation.handler is not None  # else it is served beside the framework
    ]

    async def static(path: str) -> Response:
        found = services.assets.files.get(path)
        return _show(of_status(404)) if found is None else _served(found)

    async def favicon() -> Response:
        return await static("favicon.svg")

    return [
        *routes,
        Route("/static/<path:path>", "static_file", static, Policy.PUBLIC),
        Route("/favicon.ico", "favicon", favicon, Policy.PUBLIC),
    ]


def _served(found: StaticFile) -> Response:
    headers = {"ETag": found.etag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
    if request.headers.get("If-None-Match") == found.etag:
        return Response(b"", status=304, headers=headers)
    body = found.body
    if found.gzipped is not None and accepts_gzip(request.headers):
        body = found.gzipped
        headers["Content-Encoding"] = "gzip"
    return Response(body, headers=headers, content_type=found.content_type)


async def _compress(response: Response) -> Response:
    """Compress what is worth it and is not a stream."""
    if (
        response.mimetype not in _COMPRESSED
        or "Content-Encoding" in response.headers
        or not accepts_gzip(request.headers)
    ):
        return response
    body = await response.get_data(as_text=False)
    if len(body) < LEAST_GZIP_BYTES:
        return response
    if len(body) >= LARGE_BYTES:
        smaller = await asyncio.to_thread(gzip.compress, body, GZIP_LEVEL, mtime=0)
    else:
        smaller = gzip.compress(body, GZIP_LEVEL, mtime=0)
    response.set_data(smaller)
    response.headers["Content-Encoding"] = "gzip"
    response.headers.add("Vary", "Accept-Encoding")
    return response


def _show(problem: Problem) -> Response:
    return Response(problem.encoded(), status=problem.status, content_type=CONTENT_TYPE)


class _Faults:
    """Errors as the caller wants them: a page at a browser, problem+json everywhere else."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    async def show_error(self, error: MonitorError) -> Response:
        """One of our own errors says itself what it is."""
        response = self._answered(of_error(error))
        if error.retry_after is not None:
            response.headers["Retry-After"] = f"{error.retry_after:.0f}"
        return response

    async def show_http_error(self, error: HTTPException) -> Response:
        """The framework's errors: unknown paths, methods that a route has not got."""
        status = error.code or 500
        if status < 400:  # a redirect of the router's own
            return cast("Response", error.get_response())
        response = self._answered(of_status(status))
        allowed = getattr(error, "valid_methods", None)
        if status == 405 and allowed:
            response.headers["Allow"] = ", ".join(sorted(allowed))
        return response

    async def show_fault(self, error: Exception) -> Response:
        """Our own fault: the log gets the traceback, the caller a plain 500."""
        log = structlog.stdlib.get_logger("monitor.web")
        log.error("unexpected error", path=request.path, exc_info=error)
        return self._answered(of_status(500, "something went wrong here; the log says what"))

    def _answered(self, problem: Problem) -> Response:
        response = self._shown(problem)
        if problem.status == 503:
            response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
        if problem.status == 401:
            response.headers.update(CHALLENGE)
        return response

    def _shown(self, problem: Problem) -> Response:
        is_page = not request.path.startswith(("/api/", "/static/"))
        if is_page and "text/html" in request.headers.get("Accept", ""):
            if problem.code == "auth_required" and request.method in SAFE_METHODS:
                return redirected("/login", request.full_path.removesuffix("?"))
            return self._pages.problem(problem)
        return _show(problem)


def redirected(to: str, after: str = "") -> Response:
    """See there; with `after`, an address of ours to go on to from there."""
    where = f"{to}?next={quote(after, safe='/')}" if after and after != "/" else to
    return Response(b"", status=303, headers={"Location": where, "Cache-Control": "no-store"})
