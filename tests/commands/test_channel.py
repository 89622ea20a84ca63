"""`monitor channel`: writing one, listing them, trying one."""

from __future__ import annotations

import http.server
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.config import load
from tests.commands.desk import Desk

KEY = "k3y-that-nobody-may-see"
HOOK = f"https://hooks.example.org/{KEY}"


def written(folder: Path) -> set[str]:
    """Every file of the configuration, by its path below the folder."""
    return {
        str(each.relative_to(folder))
        for each in folder.rglob("*")
        if each.is_file() and "data" not in each.parts
    }


def test_a_channel_where_there_is_no_configuration(desk: Desk) -> None:
    """It must be that one is made that includes it, and holds as it is written."""
    result = desk.run("channel", "create", "phone", HOOK)
    assert result.exit_code == 0, result.output
    assert KEY not in result.output
    assert "no routes" in result.stderr
    assert written(desk.folder) == {"config.toml", "conf.d/phone.toml", "conf.d/phone.url"}
    secret = Path("conf.d/phone.url")
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert secret.read_text() == f"{HOOK}\n"
    assert KEY not in Path("conf.d/phone.toml").read_text()
    settings = load(Path("config.toml"))
    found = settings.channels["phone"].url
    assert found is not None
    assert found.reveal().strip() == HOOK
    assert settings.warnings == ()


def test_a_configuration_that_includes_nothing(desk: Desk) -> None:
    """It must be that a line at its top includes it, and everything else stays as it is."""
    before = "# ours\n[host]\nname = 'here'\n"
    Path("config.toml").write_text(before)
    Path("config.toml").chmod(0o640)
    assert "by a line at its top" in desk.done("channel", "create", "phone", HOOK)
    assert Path("config.toml").read_text() == f'include = ["conf.d/*.toml"]\n{before}'
    assert stat.S_IMODE(Path("config.toml").stat().st_mode) == 0o640
    desk.done("channel", "create", "mail", "-", given="mailto://ops.lan?from=mon@lan&to=ops@lan\n")
    assert set(load(Path("config.toml")).channels) == {"phone", "mail"}


def test_a_configuration_that_includes_others(desk: Desk) -> None:
    """It must be that what to change is said, and nothing is left behind."""
    Path("config.toml").write_text('include = ["others/*.toml"]\n')
    assert '"conf.d/*.toml" to include' in desk.refused("channel", "create", "phone", HOOK)
    assert written(desk.folder) == {"config.toml"}
    assert not Path("conf.d").exists()


def test_a_configuration_with_routes(desk: Desk) -> None:
    """It must be that it is said that no route leads there yet."""
    Path("config.toml").write_text("include = ['conf.d/*.toml']\n[[routes]]\nchannels = []\n")
    result = desk.run("channel", "create", "phone", HOOK)
    assert "no route names phone yet" in result.stderr


REFUSED = [
    ("a b", HOOK, "expected a name"),
    ("../x", HOOK, "expected a name"),
    ("x", "", "one line of text"),
    ("x", "https://hooks.example.org/\nBcc: y", "one line of text"),
    ("x", "gopher://x", "gopher"),
    ("x", "json://hooks.example.org", "use the webhook"),
    ("x", "http://169.254.169.254/latest", "credentials"),
    ("x", "file:///etc/passwd", "file"),
]


@pytest.mark.parametrize(("name", "url", "why"), REFUSED, ids=range(len(REFUSED)))
def test_what_may_not_be(desk: Desk, name: str, url: str, why: str) -> None:
    """It must be that what no channel may be is refused, and nothing is written."""
    assert why in desk.refused("channel", "create", name, url)
    assert written(desk.folder) == set()


def test_one_that_is_there(desk: Desk) -> None:
    """It must be that neither a channel nor a file is overwritten."""
    desk.done("channel", "create", "phone", HOOK)
    why = desk.refused("channel", "create", "phone", "https://other.example.org")
    assert "conf.d/phone.toml" in why
    Path("conf.d/mail.url").write_text("kept")
    assert "is there already" in desk.refused("channel", "create", "mail", HOOK)
    assert Path("conf.d/mail.url").read_text() == "kept"
    assert not Path("conf.d/mail.toml").exists()


def test_a_configuration_that_has_faults(desk: Desk) -> None:
    """It must be that they are told, and nothing is written."""
    Path("config.toml").write_text("[nonsense]\n")
    assert "nonsense" in desk.refused("channel", "create", "phone", HOOK)
    assert written(desk.folder) == {"config.toml"}


def test_channels_are_listed(desk: Desk) -> None:
    """It must be that each has where it leads without its secrets, and what came of it last."""
    assert desk.listed("channel", "list") == []
    desk.done("channel", "create", "phone", HOOK)
    desk.told("phone", "a1", outcome="given_up")
    desk.told("phone", "a2")
    (found,) = desk.listed("channel", "list")
    assert (found["name"], found["kind"], found["outcome"]) == ("phone", "webhook", "delivered")
    table = desk.done("channel", "list")
    assert "hooks.example.org" in table
    assert KEY not in table


class Hook(http.server.BaseHTTPRequestHandler):
    """A receiver that answers what its path says."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.server.came.append(self.path)  # type: ignore[attr-defined]
        self.send_response(int(self.path.strip("/")))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def receiver() -> Iterator[http.server.HTTPServer]:
    """One on loopback."""
    server = http.server.HTTPServer(("127.0.0.1", 0), Hook)
    server.came = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_trying_channels(desk: Desk, receiver: http.server.HTTPServer) -> None:
    """It must be that each gets one message, and that one that does not is said, with exit 1."""
    url = f"http://127.0.0.1:{receiver.server_port}"
    desk.done("channel", "create", "good", f"{url}/200")
    desk.done("channel", "create", "bad", f"{url}/500")
    assert desk.done("channel", "test", "good") == "good: told\n"
    result = desk.run("channel", "test", "bad", "good")
    assert result.exit_code == 1
    assert result.stdout.startswith("bad: not told: ")
    assert receiver.came == ["/200", "/500", "/200"]  # type: ignore[attr-defined]
    outcomes = [(each["target"], each["outcome"]) for each in desk.notices("audit")]
    assert outcomes == [("good", "delivered"), ("bad", "retry"), ("good", "delivered")]
    assert "there is no channel other" in desk.refused("channel", "test", "other")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root writes files for others")
def test_root_writes_the_address_for_the_server(desk: Desk) -> None:
    """It must be that it belongs to whose the data are, so that the server can read it."""
    os.chown(desk.data, 65_534, 65_534)
    desk.done("channel", "create", "phone", HOOK)
    found = Path("conf.d/phone.url").stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (65_534, 65_534, 0o600)
    assert Path("conf.d/phone.toml").stat().st_uid == 0
