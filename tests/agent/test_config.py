"""The agent's configuration.  Every name finishes the sentence "it must be that …"."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.agent.arguments import OPTIONS, parse
from monitor.agent.config import AgentConfig, Settings, load
from monitor.errors import ConfigError

FULL = """
[agent]
server = "https://mon.lan:8460"
token_file = "token"
spool = "/var/spool/x"
spool_size = "1GB"
spool_age = "12h"
name = "web-1"
labels = { role = "web" }
pin = "sha256:PIN"
batch = "10s"
ephemeral = true
listen = "127.0.0.1:9461"

[collect]
interval = "2s"
disabled = ["sensors"]
root = "/"
command_lines = false
""".replace("PIN", "ab" * 32)


def _written(folder: Path, text: str) -> Path:
    path = folder / "agent.toml"
    path.write_text(text)
    return path


def _complaints(folder: Path, text: str, *arguments: str) -> list[str]:
    found = parse(arguments)
    with pytest.raises(ConfigError) as caught:
        load(_written(folder, text), found.options)
    return [line.replace(str(folder), "") for line in caught.value.complaints]


def test_everything_can_be_said(tmp_path: Path) -> None:
    settings = load(_written(tmp_path, FULL), {})
    agent, collect = settings.agent, settings.collect
    assert agent.server == "https://mon.lan:8460"
    assert agent.token_file == tmp_path / "token", "paths are relative to the file"
    assert agent.spool == Path("/var/spool/x")
    assert (agent.spool_size, agent.spool_age, agent.batch) == (10**9, 43_200.0, 10.0)
    assert (agent.name, agent.labels, agent.ephemeral) == ("web-1", {"role": "web"}, True)
    assert (collect.interval, collect.disabled, collect.command_lines) == (2.0, ("sensors",), False)


def test_the_command_line_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "etc").mkdir()
    arguments = parse(["--name", "db-1", "--token-file", "t", "--server", "http://127.0.0.1:1"])
    text = FULL.replace('pin = "', '#pin = "')
    agent = load(_written(tmp_path / "etc", text), arguments.options).agent
    assert (agent.name, agent.server) == ("db-1", "http://127.0.0.1:1")
    assert agent.token_file == tmp_path / "t", "paths are relative to where it was started"


def test_no_file_is_needed() -> None:
    settings = load(None, parse(["--server", "http://localhost:8460"]).options)
    assert settings.agent == AgentConfig(server="http://localhost:8460")
    assert isinstance(settings, Settings)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("servr = 1", '/agent.toml:3:1: "servr" is no key of [agent]; did you mean server?'),
        ("name = 3", "/agent.toml:3:1: agent.name: expected text in quotes, got 3"),
        ('name = "a b"', "/agent.toml:3:1: agent.name: expected a name"),
        ("ephemeral = 1", "/agent.toml:3:1: agent.ephemeral: expected true or false, got 1"),
        ('batch = "2m"', "/agent.toml:3:1: agent.batch: expected from 0s to 1m"),
        ("batch = 10", "/agent.toml:3:1: agent.batch: expected a duration"),
        ('spool_size = "1KB"', "/agent.toml:3:1: agent.spool_size: expected from 1MB to 1TB"),
        ('spool_age = "1s"', "/agent.toml:3:1: agent.spool_age: expected from 1m to 30d"),
        ('pin = "sha1:ab"', "/agent.toml:3:1: agent.pin: expected sha256:"),
        ('listen = "9461"', "/agent.toml:3:1: agent.listen: expected an address"),
        (
            'labels = { host = "x" }',
            '/agent.toml:3:1: agent.labels: "host" is a name that selectors',
        ),
        ("labels = { a = 1 }", "/agent.toml:3:1: agent.labels: expected text in quotes, got 1"),
        ("labels = []", "/agent.toml:3:1: agent.labels: expected a table, got a list"),
        ('listen = "0.0.0.0:1"', "/agent.toml:3:1: agent.listen: beyond this machine"),
        ('tls_cert = "x"', "/agent.toml:3:1: agent.tls_cert: tls_cert and tls_key go together"),
        ('ca = "x"', "/agent.toml:2:1: agent.server: a pin and ca are for https://"),
    ],
)
def test_each_fault_is_said_with_its_line(tmp_path: Path, line: str, told: str) -> None:
    text = f'[agent]\nserver = "http://127.0.0.1:8460"\n{line}\n'
    complaints = _complaints(tmp_path, text)
    assert len(complaints) == 1
    assert complaints[0].startswith(told)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[agnt]\n", '/agent.toml:1:2: "agnt" is no section; did you mean agent?'),
        ("agent = 3\n", "/agent.toml:1:1: expected a table"),
        ("[agent]\nx = \n", "/agent.toml: Invalid value"),
        ("[collect]\ninterval = 1\n", "/agent.toml:2:1: collect.interval: expected a duration"),
        ("[collect]\nroot = 'x'\n", "/agent.toml:2:1: collect.root: expected a folder"),
    ],
    ids=["section", "no-table", "syntax", "interval", "root"],
)
def test_other_faults_are_said_too(tmp_path: Path, text: str, told: str) -> None:
    complaints = _complaints(tmp_path, text, "--server", "http://127.0.0.1:1")
    assert complaints[0].startswith(told), complaints


def test_all_faults_come_at_once(tmp_path: Path) -> None:
    text = '[agent]\nserver = 1\nname = 2\n[collect]\ndisabled = ["x", 3]\nfoo = 1\n'
    assert len(_complaints(tmp_path, text)) == 4


def test_an_unknown_collector_is_guessed(tmp_path: Path) -> None:
    text = '[agent]\nserver = "http://[::1]"\n[collect]\ndisabled = ["sensor"]\n'
    assert _complaints(tmp_path, text) == [
        '/agent.toml:4:1: there is no collector "sensor"; did you mean sensors?'
    ]


def test_plain_http_over_a_network_needs_to_be_said(tmp_path: Path) -> None:
    (said,) = _complaints(tmp_path, "", "--server", "http://mon.lan:8460")
    assert said.startswith("--server: ")
    assert "in the clear" in said
    text = "[agent]\nplain_http = true\n"
    load(_written(tmp_path, text), parse(["--server", "http://mon.lan:8460"]).options)


def test_an_option_is_complained_about_by_its_name(tmp_path: Path) -> None:
    said = _complaints(tmp_path, "", "--server", "mon.lan", "--pin", "x")
    assert [line.split(":")[0] for line in said] == ["--server", "--pin"]


def test_nothing_to_do_is_a_fault(tmp_path: Path) -> None:
    (said,) = _complaints(tmp_path, "")
    assert "nothing to do" in said


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "missing.toml", {})
    path = tmp_path / "bad.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="UTF-8"):
        load(path, {})


def test_every_option_sets_a_key_of_the_agents() -> None:
    assert {option.key for option in OPTIONS} <= set(AgentConfig.__dataclass_fields__)
