"""A route that the framework serves: where it stands, who answers, and who may ask."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import cast

from quart import Response, request

from monitor.core.access import Caller, Policy
from monitor.web.asgi import Scope
from monitor.web.door import caller_of


@dataclass(frozen=True, slots=True)
class Route:
    """`rule` is as the framework writes it; `policy` has no default, on purpose."""

    rule: str
    name: str
    handler: Callable[..., Awaitable[Response]]
    policy: Policy
    methods: tuple[str, ...] = ("GET",)


def asking() -> Caller:
    """Who makes the request that is being answered."""
    return caller_of(cast("Scope", request.scope))


def address() -> str:
    """The address from which that request comes, proxies of ours looked through."""
    client = cast("Scope", request.scope).get("client")
    return str(client[0]) if client else ""
