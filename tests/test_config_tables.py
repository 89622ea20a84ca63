"""Sections that are tables by name: their names, their order, their faults, their secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import pytest

from monitor.config import Settings, load, render
from monitor.config.checking import check
from monitor.config.files import Complaint, merged
from monitor.config.names import MOST_TABLES, few_tables, table_name
from monitor.core.quantity import Check, Seconds
from monitor.core.secret import Secret
from monitor.errors import ConfigError
from monitor.fleet.config import HostsConfig

TEXT = "hunter2-correct-horse"


@dataclass(frozen=True, slots=True)
class PeerConfig:
    """A room with every kind of key that a table by name may have."""

    url: str
    period: Seconds = 60.0
    targets: tuple[str, ...] = ()
    targets_file: Path | None = None
    token: Secret | None = None
    quorum: int = 1

    def faults(self) -> list[tuple[tuple[str, ...], str]]:
        """Keys that do not go together."""
        both = self.targets and self.targets_file
        return [(("targets_file", "targets"), "one of the two")] if both else []


@dataclass(frozen=True)
class Root(Settings):
    """The settings with tables by name of one kind more."""

    peer: Annotated[Mapping[Annotated[str, Check(table_name)], PeerConfig], Check(few_tables)] = (
        field(default_factory=dict)
    )


def read(folder: Path, text: str) -> tuple[Root | None, list[str]]:
    """The settings and the complaints."""
    (folder / "config.toml").write_text(text)
    complaints: list[Complaint] = []
    document = merged(Path("config.toml"), folder, complaints)
    values = check(Root, document, complaints)
    lines = [complaint.line for complaint in complaints]
    assert not [line for line in lines if TEXT in line or not line.isprintable()]
    if complaints:
        return None, lines
    origins = {".".join(map(str, path)): at.short for path, at in document.origins.items()}
    return Root(**values, origins=origins), lines


def found(folder: Path, text: str) -> Root:
    """The settings, which must be without fault."""
    root, complaints = read(folder, text)
    assert root is not None, complaints
    return root


def test_tables_by_name(tmp_path: Path) -> None:
    """It must be that each table becomes its room's object, secrets and paths included."""
    (tmp_path / "token").write_text(TEXT)
    (tmp_path / "token").chmod(0o600)
    root = found(
        tmp_path,
        """
        [peer.one]
        url = "http://a"
        period = "5m"
        targets_file = "targets/*.json"
        token_file = "token"
        [peer."2-b_"]
        url = "http://b"
        targets = ["x:1", "y:2"]
        """,
    )
    assert root.peer == {
        "one": PeerConfig("http://a", 300.0, (), tmp_path / "targets/*.json", Secret(TEXT)),
        "2-b_": PeerConfig("http://b", targets=("x:1", "y:2")),
    }
    assert found(tmp_path, "[peer]").peer == found(tmp_path, "").peer == {}


def test_printed(tmp_path: Path) -> None:
    """It must be that tables by name are printed with who set each key, without their secrets."""
    (tmp_path / "token").write_text(TEXT)
    (tmp_path / "token").chmod(0o600)
    text = render(
        found(
            tmp_path,
            '[peer.one]\nurl = "http://a"\ntoken_file = "token"\n'
            '[hosts."web-*"]\nlabels = { role = "web" }\n',
        )
    )
    assert '[peer.one]\nurl = "http://a"  # config.toml:2\nperiod = "1m"  # default\n' in text
    assert f'token = "***"  # {tmp_path}/token, config.toml:3' in text
    assert '[hosts."web-*"]\nlabels.role = "web"  # config.toml:5\n' in text
    assert TEXT not in text


def test_printed_reads_back(tmp_path: Path) -> None:
    """It must be that what is printed of tables by name loads as the same, in the same order."""
    (tmp_path / "a.toml").write_text(
        '[hosts."web-*"]\nlabels = { role = "web" }\n[hosts.a]\nephemeral = true\n[hosts."*"]'
    )
    first = load(tmp_path / "a.toml")
    (tmp_path / "b.toml").write_text(render(first))
    again = load(tmp_path / "b.toml")
    assert list(again.hosts.items()) == list(first.hosts.items())
    assert list(first.hosts.items()) == [
        ("web-*", HostsConfig(labels={"role": "web"})),
        ("a", HostsConfig(ephemeral=True)),
        ("*", HostsConfig()),
    ]


def test_later_files_add(tmp_path: Path) -> None:
    """It must be that a later file changes one key of a table, and adds tables behind."""
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d/a.toml").write_text(
        '[hosts.a]\nephemeral = false\n[hosts.a.labels]\nx = "2"\n[hosts.c]\n'
    )
    (tmp_path / "config.toml").write_text(
        'include = ["conf.d/*.toml"]\n[hosts.b]\n[hosts.a]\nephemeral = true\n'
        'labels = { x = "1", y = "1" }\n'
    )
    hosts = load(tmp_path / "config.toml").hosts
    assert list(hosts) == ["b", "a", "c"]
    assert hosts["a"] == HostsConfig(labels={"x": "2", "y": "1"}, ephemeral=False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[peer.a]\nurl = "x"\nurk = "y"', '3:1: peer.a.urk: unknown key; did you mean "url"?'),
        ("[peer.a]", "1:7: peer.a.url: has to be given"),
        ('[peer]\nurl = "x"', "2:1: peer.url: expected tables by name, as [peer.NAME]"),
        (f'[peer]\ntoken = "{TEXT}"', "2:1: peer.token: expected tables by name"),
        (f'[peer.a]\nurl = "x"\ntoken = "{TEXT}"', '3:1: peer.a.token: expected "env:NAME"'),
        ("peer = 3", "1:1: peer: expected a table, got 3"),
        ("[[peer]]", "peer: expected a table, got a list"),
        ("[[peer.a]]", "peer.a: expected tables by name, as [peer.NAME]"),
        ("[peers.a]", 'peers: unknown key; did you mean "peer"?'),
        ("quorum = 2", 'quorum: unknown key; did you mean "peer.NAME.quorum"?'),
        ('[peer."a b"]\nurl = "x"', "expected a name of 1 to 64 letters, digits, underscores"),
        ('[peer."../x"]\nurl = "x"', 'got "../x"'),
        ('[peer.""]\nurl = "x"', 'got ""'),
        (f'[peer.{"x" * 65}]\nurl = "x"', "expected a name of 1 to 64"),
        ('[peer.a]\nurl = "x"\nperiod = 3', "3:1: peer.a.period: expected a duration"),
        (
            '[peer.a]\nurl = "x"\ntargets_file = "y"\ntargets = ["z"]',
            "3:1: peer.a.targets_file: one of the two",
        ),
        ('[hosts."a b"]', '1:8: hosts."a b": expected a host\'s name or a glob'),
        ("[hosts.a]\nlabls = {}", '2:1: hosts.a.labls: unknown key; did you mean "labels"?'),
        ('[hosts.a.labels]\n"1" = "x"', "2:1: hosts.a.labels.1: expected a label's name"),
        ("[hosts.a]\ntrust_labels = 1", "2:1: hosts.a.trust_labels: expected true or false, got 1"),
    ],
)
def test_one_fault(tmp_path: Path, text: str, expected: str) -> None:
    """It must be that a fault in a table by name is told once, with its place."""
    _, complaints = read(tmp_path, text)
    assert len(complaints) == 1, complaints
    assert expected in complaints[0]


def test_all_faults_together(tmp_path: Path) -> None:
    """It must be that every table's faults are told at once."""
    _, complaints = read(tmp_path, "[peer.a]\nx = 1\n[peer.b]\nurl = 1\n[hosts.c]\ny = 1")
    assert sorted(complaints) == [
        "config.toml:1:7: peer.a.url: has to be given",
        "config.toml:2:1: peer.a.x: unknown key",
        "config.toml:4:1: peer.b.url: expected text in quotes, got 1",
        "config.toml:6:1: hosts.c.y: unknown key",
    ]


def test_many_tables(tmp_path: Path) -> None:
    """It must be that tables by name are bounded in number, and that many are read."""

    def tables(count: int) -> str:
        return "\n".join(f"[hosts.h{number}]" for number in range(count))

    assert len(found(tmp_path, tables(MOST_TABLES)).hosts) == MOST_TABLES
    _, complaints = read(tmp_path, tables(MOST_TABLES + 1))
    assert complaints == ["config.toml:1:2: hosts: expected at most 256 tables, got 257"]
    (tmp_path / "config.toml").write_text(tables(5_000))
    with pytest.raises(ConfigError):
        load(tmp_path / "config.toml")
