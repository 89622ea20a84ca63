"""Asking for history: a real server in this process, whose hosts had the past a test gives them."""

from __future__ import annotations

import dataclasses
from array import array
from collections.abc import Mapping, Sequence

import httpx

from monitor.model import Frame, Schema
from monitor.ports import SeriesStore
from tests.browser.rig import Rig

NOW = 1_800_000_000.0
"""What the server's clock says."""


class House:
    """The rig with a clock that stands still, asked over HTTP."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.client = httpx.AsyncClient(
            verify=False
        )  # it speaks plain HTTP: no certificates to load
        rig.services = dataclasses.replace(rig.services, clock=lambda: NOW)

    def keep(self, store: SeriesStore) -> None:
        """Put another store in the place of the rig's; before it is served."""
        self.rig.services = dataclasses.replace(self.rig.services, store=store)

    async def past(
        self,
        host: str,
        columns: Mapping[str, Sequence[float]],
        labels: Mapping[str, str] | None = None,
        *,
        before: float = 60.0,
        every: float = 1.0,
    ) -> None:
        """What a host sent, beginning so many seconds before now."""
        schema = Schema(tuple(columns))
        rows = list(zip(*columns.values(), strict=True))
        frames = [
            Frame(host, NOW - before + place * every, schema, array("d", row))
            for place, row in enumerate(rows)
        ]
        await self.rig.store.append(frames)
        self.rig.state.label(host, labels or {})

    async def get(self, query: str, path: str = "/api/v1/history") -> httpx.Response:
        return await self.client.get(f"{self.rig.url}{path}?{query}", timeout=15)

    async def refused(self, query: str, path: str = "/api/v1/history") -> dict[str, object]:
        """Why a query was refused, which must be the caller's fault and said as a problem."""
        answer = await self.get(query, path)
        assert 400 <= answer.status_code < 500
        assert answer.headers["content-type"] == "application/problem+json"
        problem: dict[str, object] = answer.json()
        return problem
