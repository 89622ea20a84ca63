"""The application: routes, static files, errors and compression around them."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Mapping
from typing import cast

import structlog
from quart import Quart, Response, request
from werkzeug.exceptions import HTTPException

from monitor.errors import MonitorError
from monitor.web.api import Api
from monitor.web.asgi import Application, Receive, Scope, Send
from monitor.web.assets import StaticFile
from monitor.web.compression import GZIP_LEVEL, LARGE_BYTES, LEAST_GZIP_BYTES, accepts_gzip
from monitor.web.edge import Edge
from monitor.web.endpoint import PATH as STREAM_PATH
from monitor.web.endpoint import StreamEndpoint
from monitor.web.pages import Pages
from monitor.web.problems import CONTENT_TYPE, Problem, of_error, of_status
from monitor.web.push import PATH as PUSH_PATH
from monitor.web.push import PushEndpoint
from monitor.web.services import Services

LONGEST_BODY_BYTES = 64 * 1024
"""No route of the framework takes a body today; pushes are read beside it."""

BODY_SECONDS = 10
"""How long a body may take to come."""

RETRY_AFTER_SECONDS = 5
"""When to try again what could not be answered for now."""

_COMPRESSED = frozenset({"text/html", "text/plain", "application/json", "image/svg+xml"})


def create_app(services: Services, allowed_hosts: tuple[str, ...] = ()) -> Edge:
    """The ASGI application, edge included.  Nothing is opened or started by it."""
    app = Quart("monitor", static_folder=None, template_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = LONGEST_BODY_BYTES
    app.config["BODY_TIMEOUT"] = BODY_SECONDS
    app.url_map.strict_slashes = True
    app.url_map.merge_slashes = False
    pages = Pages(services)
    _add_routes(app, services, pages)
    faults = _Faults(pages)
    app.register_error_handler(MonitorError, faults.show_error)
    app.register_error_handler(HTTPException, faults.show_http_error)
    app.register_error_handler(Exception, faults.show_fault)
    app.after_request(_compress)
    beside: dict[str, Application] = {
        STREAM_PATH: StreamEndpoint(services),
        PUSH_PATH: PushEndpoint(services.intake),
    }
    return Edge(_Routed(cast("Application", app), beside), allowed_hosts)


class _Routed:
    """The framework's application, and beside it, by path, what is not served by it."""

    def __init__(self, application: Application, beside: Mapping[str, Application]) -> None:
        self._application = application
        self._beside = beside

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"] if scope["type"] == "http" else ""
        await self._beside.get(path, self._application)(scope, receive, send)


def _add_routes(app: Quart, services: Services, pages: Pages) -> None:
    for operation in Api(services).operations:
        if operation.handler is None:
            continue  # served beside the framework
        app.add_url_rule(
            operation.rule, operation.name, operation.handler, methods=[operation.method]
        )
    for rule, page in pages.routes:
        app.add_url_rule(rule, f"page {rule}", page, methods=["GET"])

    async def static(path: str) -> Response:
        found = services.assets.files.get(path)
        return _show(of_status(404)) if found is None else _served(found)

    app.add_url_rule("/static/<path:path>", "static_file", static, methods=["GET"])

    async def favicon() -> Response:
        return await static("favicon.svg")

    app.add_url_rule("/favicon.ico", "favicon", favicon, methods=["GET"])


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
        return response

    def _shown(self, problem: Problem) -> Response:
        is_page = not request.path.startswith(("/api/", "/static/"))
        if is_page and "text/html" in request.headers.get("Accept", ""):
            return self._pages.problem(problem)
        return _show(problem)
