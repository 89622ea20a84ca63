"""The OpenAPI document, held against a running server with requests that are made from it.

It must be that no request brings a fault of ours, and that each answer is one that the document
names, of the type and the shape that it says.
"""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings, strategies
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests import serving

EXAMPLES = 6
"""Requests made of each operation, caller and mode; they are the same in every run."""

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]

PASSWORD = "correct horse battery"

schemathesis.openapi.media_type("application/x-protobuf", strategies.binary(max_size=64))

CALLERS = {
    "admin": ("--api", "admin"),
    "ingest": ("--ingest", "*"),
    "enroll": ("--enroll", "--uses", "1000"),
}
"""Whose tokens are sent, beside nobody's."""


def command(folder: Path, *arguments: str, given: str = "") -> str:
    """What a command of the program says, on the server's data."""
    done = subprocess.run(
        [*serving.checkout_command(), *arguments, "--data", str(folder / "data")],
        cwd=folder,
        env=serving.checkout_environment(),
        input=given,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return done.stdout


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, str]]]:
    """A server that has an account, and tokens of its callers by name."""
    folder = tmp_path_factory.mktemp("documented") / "server"
    folder.mkdir()
    command(folder, "user", "create", "ann", "--role", "admin", "--password-stdin", given=PASSWORD)
    made = {name: command(folder, "token", "create", *o).strip() for name, o in CALLERS.items()}
    started = serving.start(folder)
    yield started.url, made
    assert started.end() == 0, started.said()
    assert "Traceback" not in started.said()


@pytest.mark.parametrize("who", ["nobody", *CALLERS])
def test_the_document_tells_the_truth(tokens: tuple[str, dict[str, str]], who: str) -> None:
    """It must be that whatever is asked, the document knew the answer."""
    url, made = tokens
    reader = {"Authorization": f"Bearer {made['admin']}"}
    document = requests.get(f"{url}/api/v1/openapi.json", headers=reader, timeout=10).json()
    schema = schemathesis.openapi.from_dict(document)
    sent = {"Authorization": f"Bearer {made[who]}"} if who in made else {}
    counted: Counter[int] = Counter()
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()
        if who in {"ingest", "enroll"} and operation.method != "post":
            continue  # they may do nothing else, as the crawl shows
        for mode in GenerationMode.POSITIVE, GenerationMode.NEGATIVE:
            try:
                strategy = operation.as_strategy(mode)
            except Unsatisfiable:
                continue  # there is nothing to be wrong about

            @seed(1)
            @settings(
                max_examples=EXAMPLES,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(strategy)
            def ask(case: Any) -> None:
                case.headers = {
                    name: value
                    for name, value in (case.headers or {}).items()
                    if name.lower() not in {"authorization", "host"}
                } | sent
                if case.path.endswith("/stream"):
                    case.query = {**(case.query or {}), "follow": "0"}
                answer = case.call_and_validate(
                    base_url=url, checks=CHECKS, timeout=10, allow_redirects=False
                )
                counted[answer.status_code] += 1

            try:
                ask()
            except Unsatisfiable:
                continue
    assert sum(counted.values()) >= EXAMPLES
    if who == "nobody":
        assert set(counted) <= {200, 400, 401, 404, 405, 503}, counted
    if who == "admin":
        assert counted[200] + counted[201] > 0, counted
