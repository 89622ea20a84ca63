"""What every page has in common: the templates, who looks at it, and how it is answered.

A page's own module gathers what it shows; here it is printed, with the visitor's name, the way
out and, while the server is open, the sentence that says so around it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import cast

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from quart import Response, request

from monitor.core.access import CallerKind, Policy, Right
from monitor.web import charts
from monitor.web.alarm import QUIET, Alarm, Alarms
from monitor.web.asgi import Scope
from monitor.web.assets import Assets
from monitor.web.door import caller_of
from monitor.web.hosthistory import RANGE_POINTS
from monitor.web.listening import FIRST_ACCOUNT
from monitor.web.services import Services

VERSION_CHARACTERS = 16
"""Enough that two versions never share a worker."""

_VARY = "Accept, User-Agent, Sec-Fetch-Mode"


def version(assets: Assets) -> str:
    """What the pages' scripts are, as a short text: other scripts, another text."""
    scripts = (f"{path} {file.etag}" for path, file in sorted(assets.files.items()))
    return hashlib.sha256("\n".join(scripts).encode()).hexdigest()[:VERSION_CHARACTERS]


def environment(services: Services) -> Environment:
    """The templates, every one of them with autoescape."""
    found = Environment(
        loader=FileSystemLoader(services.assets.templates),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    found.globals["assets_version"] = version(services.assets)
    found.globals["chart_height"] = charts.HEIGHT
    found.globals["chart_top"] = charts.TOP
    found.globals["chart_width"] = charts.WIDTH
    found.globals["first_account"] = FIRST_ACCOUNT
    found.globals["range_points"] = RANGE_POINTS
    for template in found.list_templates():
        found.get_template(template)  # compiled now, not while somebody waits
    return found


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who looks at a page: what every page says of it.

    `name` is empty where nobody is known; `form_token` is what the page's forms carry.
    """

    name: str
    is_person: bool
    reads: bool
    has_account: bool
    """Whether settings are for them: a person, or whoever connects to an open server."""
    operates: bool
    is_admin: bool
    is_open: bool
    form_token: str
    alarm: Alarm = QUIET
    """How many alerts want somebody, of those that they see."""


class Printer:
    """Prints templates.  One for all pages: they are compiled once."""

    def __init__(self, services: Services) -> None:
        self._door = services.door
        self.alarms = Alarms(services)
        self._templates = environment(services)

    def visitor(self) -> Visitor:
        """Who makes the request that is being answered; also where no route was found."""
        scope = cast("Scope", request.scope)
        try:
            caller = caller_of(scope)
        except KeyError:
            caller = self._door.admit(scope, Policy.PUBLIC)
        return Visitor(
            name=caller.said if caller.kind in {CallerKind.PERSON, CallerKind.TOKEN} else "",
            is_person=caller.is_person,
            reads=Right.READ in caller.rights,
            has_account=Right.ACCOUNT in caller.rights,
            operates=Right.OPERATE in caller.rights,
            is_admin=Right.ADMIN in caller.rights,
            is_open=self._door.is_open,
            form_token=self._door.form_token(caller),
            alarm=self.alarms.of(caller.view) if Right.READ in caller.rights else QUIET,
        )

    def text(self, template: str, visitor: Visitor, **context: object) -> str:
        """A page's HTML; a worker thread may make it.  `around` is none but for views of hosts."""
        known: dict[str, object] = {"around": None, "visitor": visitor}
        return self._templates.get_template(template).render(known | context)

    def page(self, template: str, status: int = 200, **context: object) -> Response:
        """A small page, answered."""
        return answered(self.text(template, self.visitor(), **context), status=status)


def answered(body: str, *, as_text: bool = False, status: int = 200) -> Response:
    """The response that a page is, as HTML or as plain text; nobody keeps it."""
    kind = "text/plain" if as_text else "text/html"
    # A lone surrogate in a name cannot be UTF-8; a replacement mark is the honest rest of it.
    encoded = body.encode("utf-8", "replace")
    response = Response(encoded, status=status, content_type=f"{kind}; charset=utf-8")
    response.headers["Vary"] = _VARY
    response.headers["Cache-Control"] = "no-store"
    return response


def wants_page() -> bool:
    """Whether the request's sender would rather be told in a page what went wrong."""
    return "text/html" in request.headers.get("Accept", "")
