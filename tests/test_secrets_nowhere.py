"""Secrets of every kind, used on a real server, and then looked for in all that comes out of it.

It must be that each is shown where it is made, once, if at all, and stands in no page, answer,
log, event, figure, file or command line after that.
"""

from __future__ import annotations

import io
import json
import logging
import re
import subprocess
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import httpx
import pytest
import structlog

from monitor import logs
from monitor.core.access import Role
from monitor.logs import LoggingConfig
from monitor.web.app import create_app
from tests import serving
from tests.conftest import StartServer
from tests.secrets_planted import leaks, planted
from tests.web.calling import Caller
from tests.web.house import PeopledRig

HTML = {"Accept": "text/html", "User-Agent": "Mozilla/5.0 (tests)"}

PAGES = (
    "/",
    "/hosts/web-1",
    "/events",
    "/events?kind=audit",
    "/login",
    "/settings",
    "/settings/sessions",
    "/settings/about",
    "/settings/accounts",
    "/settings/accounts/ann",
    "/settings/accounts/vic",
    "/settings/tokens",
    "/nowhere",
    "/metrics",
    "/healthz",
    "/readyz",
    "/api/v1/openapi.json",
    "/api/v1/hosts",
    "/api/v1/hosts/web-1",
    "/api/v1/hosts/web-1/series",
    "/api/v1/history?host=web-1&metric=a",
)


def command(data: Path, *arguments: str, given: str = "") -> str:
    """All that a command says, on these data; whether or not it is content."""
    done = subprocess.run(
        [*serving.checkout_command(), *arguments, "--data", str(data)],
        cwd=data.parent,
        env=serving.checkout_environment(),
        input=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    return done.stdout + done.stderr


def form_token(page: str) -> str:
    """What the forms of a page carry."""
    found = re.search(r'name="form_token" value="([0-9a-f]{64})"', page)
    assert found is not None
    return found[1]


class Visit:
    """What is done on the server: every secret that was used, and every answer that was got."""

    def __init__(self, server: serving.Server) -> None:
        self.url = server.url
        self.secrets: dict[str, str] = {}
        self.texts: dict[str, str | bytes] = {}
        self.client = httpx.Client(base_url=server.url, verify=False, timeout=20, headers=HTML)

    def new(self, name: str) -> str:
        """A secret of this name."""
        self.secrets[name] = planted(1)[0]
        return self.secrets[name]

    def keep(self, what: str, answer: httpx.Response, shown: Iterable[str] = ()) -> httpx.Response:
        """Keep all of an answer, but the secret that is shown in it by design."""
        text = f"{answer.headers}\n{answer.text}"
        for secret in shown:
            assert text.count(secret) >= 1, what
            text = text.replace(secret, "")
        self.texts[f"{what} {len(self.texts)}"] = text
        return answer

    def log_in(self, name: str, password: str) -> None:
        answer = self.client.post("/login", data={"username": name, "password": password})
        assert answer.status_code == 303, answer.text
        number = len(self.secrets)
        cookie = self.client.cookies["__Host-monitor_session"]
        self.secrets[f"cookie {number}"] = cookie
        self.keep("login", answer, [cookie])

    def post(self, path: str, **fields: str) -> httpx.Response:
        token = form_token(self.client.get("/settings").text)
        return self.client.post(f"/settings{path}", data={"form_token": token, **fields})

    def make(self, name: str, path: str = "/tokens", **fields: str) -> str:
        """A token, made on the page; where it was made is the only place that has it."""
        answer = self.post(path, **fields)
        found = re.search(r'id="token-text">([^<]+)<', answer.text)
        assert found is not None, answer.text
        self.secrets[name] = found[1]
        self.keep(f"making {name}", answer, [found[1], form_token(answer.text)])
        return found[1]


def go_through(visit: Visit, first: str) -> None:
    """Everything that takes a secret, rightly and wrongly."""
    client, new = visit.client, visit.new
    for name in ("ann", "nobody"):
        wrong = client.post("/login", data={"username": name, "password": new(f"wrong {name}")})
        assert visit.keep("failed login", wrong).status_code == 401
    visit.keep("query", client.get(f"/login?password={new('query')}"))
    visit.keep("query", client.get(f"/api/v1/hosts?token={new('parameter')}"))
    visit.log_in("ann", first)
    second = new("second password")
    wrong = visit.post("/password", old=new("wrong old"), new=second, again=second)
    assert visit.keep("failed change", wrong, [form_token(wrong.text)]).status_code == 403
    short = visit.post("/password", old=first, new=second, again=new("not again"))
    assert visit.keep("failed change", short, [form_token(short.text)]).status_code == 400
    assert visit.post("/password", old=first, new=second, again=second).status_code == 303
    made = visit.post("/accounts", name="vic", role="viewer", password=new("vic's"))
    assert visit.keep("account", made).status_code == 303
    bad = visit.post("/accounts", name="no name", role="viewer", password=new("bad account's"))
    assert visit.keep("account", bad, [form_token(bad.text)]).status_code == 400
    reset = visit.post("/accounts/vic/password", password=new("reset"))
    assert visit.keep("reset", reset).status_code == 303
    visit.make("agent", kind="agent", host="web-1")
    visit.make("ingest", kind="ingest", hosts="web-*")
    enroll = visit.make("enroll", kind="enroll", uses="3", expires="24h")
    visit.make("admin", kind="api", scope="admin")
    reader = visit.make("reader", kind="api", scope="read")
    visit.make("rotated", f"/tokens/{reader.split('_')[1]}/rotate", overlap="24")
    machine = httpx.Client(base_url=visit.url, verify=False, timeout=20)
    answer = machine.post(
        "/api/v1/enroll", json={"host": "web-7"}, headers={"Authorization": f"Bearer {enroll}"}
    )
    assert answer.status_code == 201, answer.text
    visit.secrets["enrolled"] = answer.json()["token"]
    visit.keep("enrolment", answer, [visit.secrets["enrolled"]])
    for name, status in (("agent", 200), ("ingest", 200), ("reader", 403), ("enroll", 403)):
        answer = machine.post(
            "/api/v1/push",
            json={"host": "web-1", "metrics": {"a": 1}},
            headers={"Authorization": f"Bearer {visit.secrets[name]}"},
        )
        assert visit.keep("push", answer).status_code == status
    forged = visit.secrets["agent"][:-20] + new("forged")[:20]
    for text in (f"Bearer {forged}", f"Bearer {new('garbage')}", f"Basic {new('basic')}"):
        for path in ("/api/v1/hosts", "/metrics", "/api/v1/stream?topics=fleet"):
            answer = machine.get(path, headers={"Authorization": text})
            assert visit.keep("refused", answer).status_code == 401
    token = form_token(client.get("/settings").text)
    visit.secrets["form token"] = token
    for path in PAGES:
        for accept in ("text/html", "text/plain", "*/*"):
            answer = client.get(path, headers={"Accept": accept})
            visit.keep(path, answer, [token] if "form_token" in answer.text else [])
    whole = client.get(
        "/api/v1/stream?topics=log,fleet,alerts&follow=0&last_event_id=0-0",
        headers={"Accept": "text/event-stream"},
    )
    assert visit.keep("stream", whole).status_code == 200
    machine.close()


def unpacked(path: Path) -> dict[str, bytes]:
    """What lies in a backup."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    with tarfile.open(path) as tar:
        members = [(each.name, tar.extractfile(each)) for each in tar.getmembers()]
        return {name: file.read() for name, file in members if file is not None}


@pytest.mark.parametrize("format_", ["json", "console"])
def test_no_secret_is_in_any_output(
    tmp_path: Path, start_server: StartServer, format_: str
) -> None:
    """It must be that of more than twenty secrets none is anywhere but where it was made."""
    data = tmp_path / "server" / "data"
    data.parent.mkdir()
    first = planted(1)[0]
    said = command(
        data, "user", "create", "ann", "--role", "admin", "--password-stdin", given=first
    )
    config = tmp_path / "monitor.toml"
    config.write_text(f'[server]\ntls = "auto"\n[logging]\nformat = "{format_}"\nlevel = "debug"\n')
    server = start_server("--config", str(config))
    visit = Visit(server)
    visit.secrets["first password"] = first
    visit.texts["user create"] = said
    try:
        go_through(visit, first)
    finally:
        visit.client.close()
    if format_ == "json":
        look_from_beside(visit, data, config, server.process.pid)
    assert server.end() == 0
    visit.texts["log"] = server.said()
    assert "request failed" in server.said()
    keys = [path for path in data.rglob("*") if b"PRIVATE KEY" in head(path)]
    assert len(keys) >= 1
    assert not any(path.stat().st_mode & 0o077 for path in keys)
    if format_ == "json":
        for path in data.rglob("*"):
            if path.is_file() and path not in keys:
                visit.texts[f"data: {path.relative_to(data)}"] = path.read_bytes()
        assert any("log.db" in name for name in visit.texts)
        assert any("series.db" in name for name in visit.texts)
    assert len(visit.secrets) >= 20
    texts = {name: EMPTY.sub(b"", raw(text)) for name, text in visit.texts.items()}
    assert leaks(texts, visit.secrets.values()) == [], list(visit.secrets)
    # The private number stands at the beginning; what follows it is public, and in certificates.
    lines = [line for path in keys for line in path.read_bytes().splitlines()[1:3]]
    assert [name for name, text in texts.items() if any(line in text for line in lines)] == []


EMPTY = re.compile(rb"\0{16,}")
"""Most of a database's file; searched in vain, and long."""


def raw(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


def look_from_beside(visit: Visit, data: Path, config: Path, pid: int) -> None:
    """What everybody on the machine sees of the server, what commands say, and its backup."""
    texts = visit.texts
    texts["command line"] = Path(f"/proc/{pid}/cmdline").read_bytes()
    for arguments in (
        ("config", "check", "--config", str(config)),
        ("doctor", "--json"),
        ("user", "list"),
        ("token", "list", "--json"),
        ("session", "list"),
    ):
        said = command(data, *arguments)
        texts[" ".join(arguments)] = said
        assert "Traceback" not in said
    backup = config.parent / "backup"
    texts["backup"] = command(data, "backup", str(backup))
    assert backup.stat().st_mode & 0o077 == 0
    for name, content in unpacked(backup).items():
        if b"PRIVATE KEY" not in content:  # a backup is whole, and its owner's alone
            texts[f"backup: {name}"] = content


def head(path: Path) -> bytes:
    """How a file begins."""
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(200)


@pytest.mark.parametrize("format_", ["json", "console"])
async def test_a_traceback_shows_no_secret(
    monkeypatch: pytest.MonkeyPatch, format_: Literal["json", "console"]
) -> None:
    """It must be that where we fail, in the midst of a password, the log says where, and not it."""
    rig = PeopledRig()
    await rig.person("ann", Role.ADMIN)
    password, bearer = planted(1)[0], planted(1)[0]
    cookie = planted(1)[0]
    written = io.StringIO()
    before = logging.getLogger().handlers[:]
    logs.configure(LoggingConfig(format=format_, level="debug"), written)

    async def broken(text: str, _kept: str | None) -> bool:
        """A fault that has the password among its variables, and in its own cause."""
        found = {"password": text}
        raise RuntimeError(f"a fault of ours, {len(found)}")

    monkeypatch.setattr(rig.office.accounts._passwords, "is_right", broken)
    try:
        ask = Caller(create_app(rig.services))
        answer = await ask(
            "POST",
            "/login",
            {"username": "ann", "password": password},
            authorization=f"Bearer {bearer}",
            cookie=f"monitor_session={cookie}",
        )
    finally:
        logging.getLogger().handlers[:] = before
        structlog.reset_defaults()
    assert (answer.status, answer.code) == (500, "internal")
    assert "a fault of ours, 1" in written.getvalue()
    assert "in broken" in written.getvalue()
    texts: dict[str, str | bytes] = {"log": written.getvalue(), "answer": answer.body}
    assert leaks(texts, [password, bearer, cookie]) == []
    if format_ == "json":
        for line in written.getvalue().splitlines():
            json.loads(line)


def test_a_configuration_that_is_wrong_is_not_shown(tmp_path: Path) -> None:
    """It must be that a secret at the wrong place is complained of, and not repeated."""
    secret = planted(1)[0]
    config = tmp_path / "monitor.toml"
    for line in (
        f'password = "{secret}"',
        f'[server]\ntoken = "{secret}"',
        f'[server]\ntls_key = "x"\npassword = "{secret}"',
    ):
        config.write_text(line + "\n")
        said = command(tmp_path / "data", "config", "check", "--config", str(config))
        assert "Traceback" not in said
        assert leaks({"said": said}, [secret]) == [], line
