"""TOML to settings, and every complaint with its place."""

from __future__ import annotations

import os
import re
import socket
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.alerting.config import DefaultsConfig
from monitor.collect.config import CollectConfig, HostConfig, default_host_name
from monitor.collect.subjects import COLLECTOR_NAMES
from monitor.config import Settings, default_data_dir, find, load, render
from monitor.config.checking import check
from monitor.config.files import Complaint, Document
from monitor.config.secretfiles import secret_fields, spellings
from monitor.config.sections import sections, written_keys
from monitor.core.quantity import Between, Bytes, Ratio
from monitor.errors import ConfigError
from monitor.logs import LoggingConfig
from monitor.outbound.guard import OutboundConfig
from monitor.store.config import RetentionConfig
from monitor.tls import making
from monitor.web.config import ServerConfig, is_loopback, parse_listen, resolve

EXAMPLE = Path(__file__).parent.parent / "config.example.toml"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder for configurations."""
    return tmp_path


def write(folder: Path, **files: str | bytes) -> None:
    """Files by name; the suffix is added."""
    for name, content in files.items():
        path = folder / f"{name}.toml"
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def complaints(folder: Path, **files: str | bytes) -> list[str]:
    """What is wrong with `config.toml` of these files."""
    write(folder, **files)
    with pytest.raises(ConfigError) as refusal:
        load(Path("config.toml"), cwd=folder)
    lines = refusal.value.complaints
    assert all(line.isprintable() and len(line) < 500 for line in lines)
    return lines


def loaded(folder: Path, **files: str | bytes) -> Settings:
    """The settings of `config.toml` of these files."""
    write(folder, **files)
    return load(Path("config.toml"), cwd=folder)


def test_nothing_configured() -> None:
    """It must be that without a file everything has its default."""
    assert load(None) == Settings()


def test_example_is_the_defaults(folder: Path) -> None:
    """It must be that the example loads, and that what it shows are the defaults."""
    found = load(EXAMPLE, cwd=folder)
    default = Settings()
    rooms = (
        *("server", "logging", "host", "collect", "retention", "outbound", "defaults"),
        *("heartbeat", "channels", "routes", "silences", "rules"),
    )
    assert {name: getattr(found, name) for name in rooms} == {
        name: getattr(default, name) for name in rooms
    }


def test_example_is_complete(folder: Path) -> None:
    """It must be that the example names every key, and loads with all of them in use."""
    text = EXAMPLE.read_text()
    for key, name in re.findall(r'(?m)^#: ([a-z]+_file|tls_ca) = "([^*"\n]+)"', text):
        (folder / name).write_text("https://hooks.example.com/x\n" if key == "url_file" else "x\n")
        (folder / name).chmod(0o600)
    (folder / "ca.pem").write_bytes(
        making.pem(making.authority("x", datetime.now(UTC)).certificate)
    )
    found = loaded(folder, config=re.sub(r"(?m)^#: ", "", text))
    keys = {
        f"{section}.{key}"
        for section, room in (
            ("server", ServerConfig),
            ("logging", LoggingConfig),
            ("host", HostConfig),
            ("collect", CollectConfig),
            ("retention", RetentionConfig),
            ("outbound", OutboundConfig),
            ("defaults", DefaultsConfig),
        )
        for key in written_keys(room).values()
    } | {"heartbeat.url_file", "heartbeat.interval"}
    by_name = {name for name, section in sections(Settings).items() if not section.is_one}
    by_name.add("rules")
    assert keys == {
        origin
        for origin in found.origins
        if origin.count(".") == 1 and origin.partition(".")[0] not in by_name
    }
    assert found.server.data_dir == folder / "data"
    for section in (each for each in sections(Settings).values() if not each.is_one):
        secrets = secret_fields(section.room)
        for field_name, key in written_keys(section.room).items():
            ways = spellings(key) if field_name in secrets else (key,)
            assert any(re.search(rf"(?m)^(#: )?{way} = ", text) for way in ways), (section, key)
        assert getattr(found, section.name) or not written_keys(section.room)


def test_everything_set(folder: Path) -> None:
    """It must be that each key arrives with its type and its people's spelling understood."""
    found = loaded(
        folder,
        config=f"""
        [server]
        listen = "[::1]:0"
        data_dir = "var"
        public_url = "https://Mon.example.com:8460/"
        allowed_hosts = ["a.example.com", "[2001:db8::1]"]
        tls = "auto"
        tls_cert = "cert.pem"
        tls_key = "key.pem"
        trusted_proxies = ["10.0.0.1", "fd00::/64"]
        [logging]
        format = "json"
        level = "debug"
        [host]
        name = "web-1"
        labels = {{ role = "web", env = "prod" }}
        [collect]
        interval = "500ms"
        disabled = ["{COLLECTOR_NAMES[0]}"]
        root = "."
        command_lines = false
        [retention]
        raw = "1h"
        10s = "2h"
        1m = "1d"
        15m = "1w"
        2h = "10y"
        size = "1.5GB"
        """,
    )
    assert found.server == ServerConfig(
        listen="[::1]:0",
        data_dir=folder / "var",
        public_url="https://Mon.example.com:8460",
        allowed_hosts=("a.example.com", "[2001:db8::1]"),
        tls="auto",
        tls_cert=folder / "cert.pem",
        tls_key=folder / "key.pem",
        trusted_proxies=("10.0.0.1", "fd00::/64"),
    )
    assert found.logging == LoggingConfig(format="json", level="debug")
    assert found.host == HostConfig(name="web-1", labels={"role": "web", "env": "prod"})
    assert found.collect == CollectConfig(
        interval=0.5, disabled=(COLLECTOR_NAMES[0],), root=folder, command_lines=False
    )
    assert found.retention.ages == (3_600, 7_200, 86_400, 604_800, 315_360_000)
    assert found.retention.size == 1_500_000_000
    assert found.files == (folder / "config.toml",)
    assert found.origins["collect.interval"] == "config.toml:18"
    assert found.origins["retention.10s"] == "config.toml:24"


def test_all_at_once(folder: Path) -> None:
    """It must be that every fault of every file is told at once, in order, with its place."""
    found = complaints(
        folder,
        config="""include = ["conf.d/*.toml", "../x"]
listen = "127.0.0.1:1"
[server]
  lisen = "127.0.0.1:1"
  listen = 3
[collect]
interval = "banana"
disabled = ["nothing_like_it", 7]
command_lines = 1
[rules.x]
above = 1
[retension]
""",
        conf__d__none="",
        **{
            "conf.d/a": '[logging]\nformat = "jason"\nlevel = true\n',
            "conf.d/b": "[host]\nname = 'a b'\n[host.labels]\n'1x' = 'y'\nx = 3\ny = '\\u001b'\n"
            'z = "\\u001b"\n',
        },
    )
    assert found == [
        'config.toml:1:29: include[1]: "../x" leads out of the configuration\'s own folder',
        'config.toml:2:1: listen: unknown key; did you mean "server.listen"?',
        'config.toml:4:3: server.lisen: unknown key; did you mean "listen"?',
        "config.toml:5:3: server.listen: expected text in quotes, got 3",
        'config.toml:7:1: collect.interval: expected a duration such as "1s", got "banana"',
        'config.toml:8:13: collect.disabled[0]: there is no collector "nothing_like_it"',
        "config.toml:8:32: collect.disabled[1]: expected text in quotes, got 7",
        "config.toml:9:1: collect.command_lines: expected true or false, got 1",
        (
            "config.toml:10:8: rules.x.metric: has to be given, such as metric ="
            ' "system.cpu.utilization"'
        ),
        (
            "config.toml:10:8: rules.x: has no limit: expected warning, critical or info, such as"
            ' warning = { above = "90%", clear_below = "80%" }'
        ),
        'config.toml:11:1: rules.x.above: unknown key; did you mean "warning.above"?',
        'config.toml:12:2: retension: unknown key; did you mean "retention"?',
        'conf.d/a.toml:2:1: logging.format: expected "console" or "json", got "jason"',
        (
            'conf.d/a.toml:3:1: logging.level: expected "debug", "info", "warning" or "error",'
            " got true"
        ),
        (
            "conf.d/b.toml:2:1: host.name: expected a name of 1 to 253 letters, digits, dots,"
            ' dashes or underscores, got "a b"'
        ),
        (
            "conf.d/b.toml:4:1: host.labels.1x: expected a label's name of letters, digits and"
            ' underscores that begins with no digit, got "1x"'
        ),
        "conf.d/b.toml:5:1: host.labels.x: expected text in quotes, got 3",
        'conf.d/b.toml:7:1: host.labels.z: expected printable text, got "\\x1b"',
    ]


FAULTS = [
    ("[server]\nallowed_host = []", '2:1: server.allowed_host: unknown key; did you mean "all'),
    ('[colect]\ninterval = "1s"', '1:2: colect: unknown key; did you mean "collect"?'),
    ("server = 3", "1:1: server: expected a table, got 3"),
    ("[[server]]", "1:3: server: expected a table, got a list"),
    ("[collect]\ninterval = true", 'interval: expected a duration such as "1s", got true'),
    ("[collect]\ninterval = 5", 'got 5: write "5s" or "5m"'),
    ('[collect]\ninterval = "5"', 'got "5": write "5s" or "5m"'),
    ('[collect]\ninterval = "-5m"', 'got "-5m": it cannot be negative'),
    ('[collect]\ninterval = "1e9d"', 'expected a duration such as "1s", got "1e9d"'),
    ("[collect]\ninterval = nan", 'expected a duration such as "1s", got nan'),
    ("[collect]\ninterval = inf", 'expected a duration such as "1s", got inf'),
    ('[collect]\ninterval = "99ms"', "2:1: collect.interval: expected 100ms to 1h, got 99ms"),
    ('[collect]\ninterval = "61m"', "2:1: collect.interval: expected 100ms to 1h, got 61m"),
    ("[collect]\ninterval = {}", "got a table"),
    ('[collect]\ndisabled = "cpu"', 'collect.disabled: expected a list, got "cpu"'),
    ('[retention]\nraw = "0"', 'retention.raw: expected a duration such as "1s", got "0"'),
    ('[retention]\nraw = "0s"', "2:1: retention.raw: expected 1h to 100y, got 0s"),
    ('[retention]\n2h = "101y"', "2:1: retention.2h: expected 1h to 100y, got 101y"),
    ('[retention]\nsize = "63MB"', "2:1: retention.size: expected 64MB to 1PB, got 63MB"),
    ("[retention]\nsize = 20", 'retention.size: expected a size such as "20GB", got 20'),
    ('[retention]\nten_seconds = "1d"', "2:1: retention.ten_seconds: unknown key"),
    ('[retention]\n10 = "1d"', '2:1: retention.10: unknown key; did you mean "10s"?'),
    (
        '[retention]\n10s = "1d"',
        'retention.10s: "10s" is kept for 1d, and the finer "raw" for 2d: make it at least as',
    ),
    ('[retention]\nraw = "30d"', '2:1: retention.raw: "10s" is kept for 2w, and the finer "raw"'),
    ("[collect]\ndisabled = [[]]", "collect.disabled[0]: expected text in quotes, got a list"),
    ("[collect]\nroot = 3", "collect.root: expected a path in quotes, got 3"),
    ('[collect]\nroot = "gone"', "collect.root: expected a folder that exists, got"),
    ('[collect]\nroot = "config.toml"', "collect.root: expected a folder that exists, got"),
    ('[collect]\nroot = "a\\u0000b"', 'collect.root: expected a path, got "a\\x00b"'),
    ('[collect]\nroot = ""', 'collect.root: expected a path, got ""'),
    ('[server]\ndata_dir = "~/x"', '"~/x": ~ is not expanded; write the whole path'),
    ("[server]\ndata_dir = 1979-05-27", "expected a path in quotes, got 1979-05-27"),
    ('[server]\nlisten = "8460"', 'expected HOST:PORT such as "127.0.0.1:8460", got "8460"'),
    ('[server]\nlisten = "127.0.0.1:70000"', "ports end at 65535"),
    ('[server]\nlisten = "0.0.0.0:1"\ntls = "off"', ':3:1: server.tls: "0.0.0.0:1" can be reached'),
    ('[server]\ntls = "on"', 'server.tls: expected "auto" or "off", got "on"'),
    ('[server]\ntls_cert = "x.pem"', "tls_cert and tls_key are given together"),
    ('[server]\ntls_key = "x.pem"', "tls_cert and tls_key are given together"),
    (
        '[server]\ntls = "off"\ntls_cert = "x.pem"\ntls_key = "y.pem"',
        "no use for a certificate",
    ),
    ('[server]\ntrusted_proxies = ["10.0.0.0/33"]', "trusted_proxies[0]: expected an address or"),
    ('[server]\ntrusted_proxies = ["10.0.0.1/24"]', "trusted_proxies[0]: expected an address or"),
    ('[server]\ntrusted_proxies = ["proxy.lan"]', "trusted_proxies[0]: expected an address or"),
    ('[server]\ntrusted_proxies = ["::/0"]', '"::/0" is everybody: name the proxies'),
    ('[server]\npublic_url = "ftp://x"', "server.public_url: expected a URL such as"),
    ('[server]\npublic_url = "http://x/y"', "it ends after the host and port"),
    ('[server]\npublic_url = "http://u:hunter2@x"', "a URL without a user name or password"),
    ('[server]\npublic_url = "http://x:99999"', "server.public_url: expected a URL such as"),
    ('[server]\npublic_url = "http://[::1"', "server.public_url: expected a URL such as"),
    ('[server]\npublic_url = "http://a b"', "server.public_url: expected a URL such as"),
    ('[server]\nallowed_hosts = ["a:1"]', "server.allowed_hosts[0]: expected a host without a"),
    ('[host]\nname = ""', "host.name: expected a name"),
    ('[host]\nname = "é"', "host.name: expected a name of 1 to 253 letters, digits"),
    (f'[host]\nname = "{"a" * 254}"', "host.name: expected a name"),
    ("[host]\nlabels = []", "host.labels: expected a table, got a list"),
    (
        f'[host]\nlabels.a = "{"x" * 257}"',
        "host.labels.a: expected at most 256 characters, got 257",
    ),
    (
        "[host.labels]\n" + "".join(f'a{number} = ""\n' for number in range(33)),
        "1:7: host.labels: expected at most 32 labels, got 33",
    ),
    ("include = 3", "include: expected a list of at most 64 patterns, got 3"),
    ("include = [3]", "1:12: include[0]: expected a pattern"),
    ('include = ["/etc/*.toml"]', "leads out of the configuration's own folder"),
    ('include = ["a/../../x"]', "leads out of the configuration's own folder"),
    ('include = ["http://x/y.toml"]', "leads out of the configuration's own folder"),
    ('include = ["~/x"]', "leads out of the configuration's own folder"),
    ('include = ["**/*.toml"]', "or holds **"),
    ('include = ["."]', '"." cannot be followed'),
    ('include = [""]', "include[0]: expected a pattern"),
    ('include = ["a//b"]', "or holds ** or //"),
    ('include = ["a/b/c/d/e.toml"]', "is deeper than 4 names"),
    ('include = ["gone.toml"]', 'include[0]: there is no file "gone.toml"'),
    ("a = 1\na = 2", "config.toml:2:"),
    ("[a]\n[a]", "config.toml:2:"),
    ("a = ", "config.toml:1:5: "),
    ("a = 1 b", "config.toml:1:7: "),
    ('a = "', "config.toml:1:"),
    ("a = 2026-02-30", "config.toml:1:"),
    ("a = \x00", "config.toml:1:5: "),
    ("\x00", "config.toml:1:1: "),
    (
        b"ok = 1\n# \xc3\xa9 \xe9\n",
        "config.toml:2:5: byte 0xe9 is not UTF-8; save the file as UTF-8",
    ),
    (b"\xef\xbb\xbfa = 1", "config.toml:1:1: begins with a byte order mark"),
    ("a = 1".encode("utf-16"), "config.toml:1:1: begins with a byte order mark"),
    ("a = " + "[" * 5000 + "]" * 5000, "config.toml:1:37: nested more than 32 deep"),
    (".".join("a" * 100_000) + " = 1", "config.toml:1:65: nested more than 32 deep"),
    ("a = 1\nb = " + "9" * 5000, "config.toml:2:5: a value has more than 256 characters"),
    ("a = 0x" + "f" * 250, "config.toml:1:1: a: unknown key"),
    ("#" * ((1 << 20) + 1), "config.toml: is larger than 1 MiB"),
    ('"\\u001b[31m\\n" = 1', 'config.toml:1:1: "\\x1b[31m\\n": unknown key'),
    (f"{'k' * 10_000} = 1", "config.toml:1:1: "),
]


@pytest.mark.parametrize(
    ("content", "expected"), [pytest.param(*row, id=str(at)) for at, row in enumerate(FAULTS)]
)
def test_one_fault(folder: Path, content: str | bytes, expected: str) -> None:
    """It must be that each fault is one line with its place, its key and what was expected."""
    (found,) = complaints(folder, config=content)
    assert found.startswith("config.toml:")
    assert expected in found
    assert "hunter2" not in found


def test_many_faults_are_counted(folder: Path) -> None:
    """It must be that a file of nothing but faults ends soon, in a hundred lines and a count."""
    start = time.monotonic()
    found = complaints(folder, config="".join(f"key{number} = 1\n" for number in range(60_000)))
    assert len(found) == 101
    assert found[-1] == "… and 59900 more complaints"
    assert time.monotonic() - start < 20


def _refuse(path: Path, _flags: int) -> int:
    raise PermissionError(13, "Permission denied", str(path))


@pytest.mark.parametrize("kind", ["folder", "fifo", "unreadable", "dangling"])
def test_no_file(folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It must be that what is no readable file is one line, at once."""
    path = folder / "config.toml"
    match kind:
        case "folder":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
        case "dangling":
            path.symlink_to("gone")
        case _:
            path.write_text("")
            # Root reads everything, so that taking the permission away is not enough.
            monkeypatch.setattr(os, "open", _refuse)
    assert find(None, cwd=folder) == Path("config.toml")
    (found,) = complaints(folder)
    assert found.startswith("config.toml: ")


def test_a_file_with_a_newline_in_its_name(folder: Path) -> None:
    """It must be that a file's own name cannot break a complaint's line."""
    (folder / "a\n\x1b.toml").write_text("x = 1")
    with pytest.raises(ConfigError) as refusal:
        load(Path("a\n\x1b.toml"), cwd=folder)
    assert refusal.value.complaints == ["a\\n\\x1b.toml:1:1: x: unknown key"]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.binary(max_size=200))
def test_any_bytes(folder: Path, content: bytes) -> None:
    """It must be that any bytes are settings or complaints, never a traceback."""
    (folder / "config.toml").write_bytes(content)
    lines: list[str] = []
    try:
        load(Path("config.toml"), cwd=folder)
    except ConfigError as error:
        lines = error.complaints
    assert all(line.isprintable() for line in lines)


def test_includes_merge_key_by_key(folder: Path) -> None:
    """It must be that included files follow the first in the order of names; the later wins."""
    write(
        folder,
        **{
            "conf.d/b": '[collect]\ninterval = "3s"\n[host.labels]\nb = "b"',
            "conf.d/a": '[collect]\ninterval = "2s"\ncommand_lines = false\n[host.labels]\na = "a"',
            "conf.d/.hidden": "nonsense",
        },
    )
    found = loaded(
        folder,
        config='include = ["conf.d/*.toml", "conf.d/a.toml", "*.toml"]\n'
        '[collect]\ninterval = "1s"\n[host]\nlabels = { a = "0", c = "0" }',
    )
    assert found.collect == CollectConfig(interval=3.0, command_lines=False)
    assert found.host.labels == {"a": "a", "b": "b", "c": "0"}
    assert [path.name for path in found.files] == ["config.toml", "a.toml", "b.toml"]
    assert found.origins["collect.interval"] == "conf.d/b.toml:2"
    assert found.origins["host.labels.a"] == "conf.d/a.toml:5"


def test_paths_are_relative_to_the_file_that_says_them(folder: Path) -> None:
    """It must be that moving a folder of configuration moves what it points to."""
    write(
        folder,
        **{
            "etc/conf.d/a": '[server]\ndata_dir = "x"',
            "etc/config": 'include = ["conf.d/a.toml"]',
        },
    )
    found = load(Path("etc/config.toml"), cwd=folder)
    assert found.server.data_dir == folder / "etc/conf.d/x"


def test_include_of_include(folder: Path) -> None:
    """It must be that included files include nothing."""
    (found,) = complaints(folder, config='include = ["a.toml"]', a='include = ["b.toml"]', b="")
    assert found == "a.toml:1:1: include: only the first file may include others"


def test_symlink_out(folder: Path) -> None:
    """It must be that a link leads no further than the folder, and that links within it do."""
    outside = folder / "outside.toml"
    outside.write_text("[host]\nname = 'secret'")
    inside = folder / "inside"
    write(inside, config='include = ["link.toml"]', real="[host]\nname = 'real'")
    (inside / "link.toml").symlink_to(outside)
    with pytest.raises(ConfigError, match="leads out of the configuration's own folder"):
        load(Path("config.toml"), cwd=inside)
    (inside / "link.toml").unlink()
    (inside / "link.toml").symlink_to("real.toml")
    assert load(Path("config.toml"), cwd=inside).host.name == "real"


def test_a_link_to_itself(folder: Path) -> None:
    """It must be that a loop of links is one complaint."""
    (folder / "loop.toml").symlink_to("loop.toml")
    (found,) = complaints(folder, config='include = ["*.toml"]')
    assert "cannot be" in found


def test_unreadable_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It must be that a folder that may not be listed is no empty folder."""
    monkeypatch.setattr(os, "access", lambda path, _mode: path != folder / "conf.d")
    (folder / "conf.d").mkdir()
    (found,) = complaints(folder, config='include = ["conf.d/*.toml"]')
    assert found == 'config.toml:1:12: include[0]: "conf.d/*.toml": the folder cannot be read'


@dataclass(frozen=True, slots=True)
class Room:
    """What a later room may ask for."""

    size: Bytes = 0
    share: Annotated[Ratio, Between(0, 1)] = 0.0
    count: Annotated[int, Between(1, 9)] = 1
    factor: float | None = None
    rows: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class House:
    """A roof over one room."""

    room: Room = field(default_factory=Room)


def test_every_mark() -> None:
    """It must be that each mark a room may put on a field is understood, in its own words."""
    faults: list[Complaint] = []
    good = Document(
        {"room": {"size": "20GiB", "share": "90%", "count": 9, "factor": 1.5, "rows": [["a"], []]}}
    )
    assert check(House, good, faults) == {"room": Room(20 << 30, 0.9, 9, 1.5, (("a",), ()))}
    assert check(House, Document(), faults) == {"room": Room()}
    assert not faults
    bad = Document({"room": {"size": 20, "share": "101%", "count": 10, "factor": "x", "rows": [1]}})
    check(House, bad, faults)
    assert [fault.line.removeprefix("configuration: ") for fault in faults] == [
        'room.size: expected a size such as "20GB", got 20: write "20GB" or "20GiB"',
        "room.share: expected 0% to 100%, got 101%",
        "room.count: expected 1 to 9, got 10",
        'room.factor: expected a number, got "x"',
        "room.rows[0]: expected a list, got 1",
    ]


def test_too_many_files(folder: Path) -> None:
    """It must be that 257 files are refused."""
    write(folder, **{f"conf.d/{number}": "" for number in range(257)})
    (found,) = complaints(folder, config='include = ["conf.d/*.toml"]')
    assert found == "config.toml:1:12: include[0]: names more than 256 files"


def test_too_many_bytes(folder: Path) -> None:
    """It must be that all files together have a bound too."""
    write(folder, **{f"conf.d/{number}": "#" * 1_000_000 for number in range(5)})
    (found,) = complaints(folder, config='include = ["conf.d/*.toml"]')
    assert found == "config.toml:1:12: include[0]: the files are over 4 MiB together"


def test_table_against_value(folder: Path) -> None:
    """It must be that a table and a value of one name do not silently replace each other."""
    (found,) = complaints(folder, config='include = ["a.toml"]\n[server]', a="server = 1")
    assert found == "a.toml:1:1: server: is no table here and one in config.toml:2"


def test_overrides(folder: Path) -> None:
    """It must be that the command line wins, is relative to the working folder, and is named."""
    write(folder / "etc", config='[server]\nlisten = "127.0.0.1:1"\ndata_dir = "x"')
    path = Path("etc/config.toml")
    listen = ("server", "listen")
    found = load(
        path,
        cwd=folder,
        overrides={listen: ("--listen", "[::1]:2"), ("server", "data_dir"): ("--data", "y")},
    )
    assert (found.server.listen, found.server.data_dir) == ("[::1]:2", folder / "y")
    assert found.origins["server.listen"] == "--listen"
    with pytest.raises(ConfigError) as refusal:
        load(path, cwd=folder, overrides={listen: ("--listen", "x")})
    assert refusal.value.complaints == [
        '--listen: server.listen: expected HOST:PORT such as "127.0.0.1:8460", got "x"'
    ]


def test_find(folder: Path) -> None:
    """It must be that the explicit file, the folder's, the machine's are tried in this order."""
    system = folder / "system.toml"
    assert find(None, cwd=folder, system=system) is None
    system.touch()
    assert find(None, cwd=folder, system=system) == system
    (folder / "config.toml").touch()
    assert find(None, cwd=folder, system=system) == Path("config.toml")
    (folder / "mine.toml").touch()
    assert find(Path("mine.toml"), cwd=folder, system=system) == Path("mine.toml")
    with pytest.raises(ConfigError, match=r"gone\.toml: there is no such file"):
        find(Path("gone.toml"), cwd=folder, system=system)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:8460", ("127.0.0.1", 8460)),
        ("[::1]:0", ("::1", 0)),
        ("localhost:65535", ("localhost", 65535)),
    ],
)
def test_listen(text: str, expected: tuple[str, int]) -> None:
    """It must be that HOST:PORT and [IPV6]:PORT are understood."""
    assert parse_listen(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", ":1", "x", "x:", "x:-1", "x:+1", "x:65536", "::1:80", "[::1]", "[x]:1", "[:::]:1"),
        *("a b:1", "x:1\n", "x:\u0663", "http://x:1", "\x1b:1", "x" * 300 + ":1", "é:1"),
    ],
)
def test_no_listen(text: str) -> None:
    """It must be that anything else is refused with an example."""
    with pytest.raises(ValueError, match=r"^expected HOST:PORT such as") as refusal:
        parse_listen(text)
    assert str(refusal.value).isprintable()


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.9.9.9", "[::1]", "localhost", "[::ffff:127.0.0.1]"]
)
def test_loopback(host: str) -> None:
    """It must be that loopback is known, and comes back as the address to bind."""
    (address,), port = resolve(f"{host}:7")
    assert port == 7
    assert is_loopback(address)
    socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


@pytest.mark.parametrize(
    "host",
    ["0.0.0.0", "10.0.0.1", "8.8.8.8", "[::]", "[fe80::1]", "[::ffff:10.0.0.1]", "[2001:db8::1]"],
)
def test_not_loopback(host: str) -> None:
    """It must be that everything else is none."""
    ((address,), _) = resolve(f"{host}:0")
    assert not is_loopback(address)


@pytest.mark.parametrize(
    ("answers", "is_local"),
    [
        (["127.0.0.1"], True),
        (["127.0.0.1", "::1"], True),
        (["127.0.0.1", "10.0.0.1"], False),
    ],
)
def test_names(monkeypatch: pytest.MonkeyPatch, answers: list[str], is_local: bool) -> None:
    """It must be that a name is loopback where all its addresses are, and no name is nothing."""
    found = answers

    def look_up(name: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        assert name == "mine"
        return [(0, 0, 0, "", (address, 0)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    assert resolve("mine:7") == (tuple(answers), 7)
    assert ServerConfig(listen="mine:7").is_local() is is_local
    found = []
    with pytest.raises(ValueError, match="cannot resolve"):
        resolve("mine:7")


def test_slow_resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    """It must be that a resolver without an answer costs its bound and no more."""

    def look_up(*_: object, **__: object) -> list[object]:
        time.sleep(1)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr("monitor.web.config.LOOKUP_SECONDS", 0.05)
    with pytest.raises(ValueError, match="no answer in time"):
        resolve("mine:7")


def test_render_reads_back(folder: Path) -> None:
    """It must be that what `config check` prints loads as the same settings."""
    found = loaded(
        folder,
        config='[server]\ndata_dir = "é\\" x"\nallowed_hosts = ["a", "b"]\n'
        '[host.labels]\na = "\\"\\\\é"\nrole = "hub"\n[collect]\ninterval = "250ms"',
    )
    text = render(found)
    again = loaded(folder, again=text, config=text)
    assert (again.server, again.host, again.collect) == (found.server, found.host, found.collect)
    assert 'interval = "250ms"  # config.toml:8\n' in text
    assert 'labels.role = "hub"  # config.toml:6\n' in text
    assert "# public_url is not set  # default\n" in text
    assert text.startswith(f"# Files: {folder}/config.toml\n")


def test_render_defaults() -> None:
    """It must be that the place of the data is printed even where nobody chose it."""
    assert f'data_dir = "{default_data_dir()}"  # default\n' in render(load(None))


def test_render_masks_secrets(folder: Path) -> None:
    """It must be that what is named like a secret is never printed."""
    found = loaded(folder, config='[host.labels]\napi_token = "hunter2"\nrole = "x"')
    assert 'labels.api_token = "***"  # config.toml:2' in render(found)
    assert "hunter2" not in render(found)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("web-1", "web-1"), ("a b\n", "a-b-"), ("é", "-"), ("", "localhost"), ("x" * 300, "x" * 253)],
)
def test_default_name(monkeypatch: pytest.MonkeyPatch, name: str, expected: str) -> None:
    """It must be that the machine's name becomes a name that the contract allows."""
    monkeypatch.setattr(socket, "gethostname", lambda: name)
    assert default_host_name() == expected


def test_default_data_dir(monkeypatch: pytest.MonkeyPatch) -> None:
    """It must be that root's data are the machine's and others' are in their home."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_data_dir() == Path("/var/lib/awoooi-monitor")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("HOME", "/home/x")
    assert default_data_dir() == Path("/home/x/.local/state/awoooi-monitor")
