"""One server for all the questions that change nothing about it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import serving


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[serving.Server]:
    """A server with no configuration, shared by a module's tests; it must end with 0."""
    started = serving.start(tmp_path_factory.mktemp("running"))
    yield started
    status = started.end()
    said = started.said()
    assert status == 0, said
    assert "Traceback" not in said
