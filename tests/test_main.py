"""The command line: what it says, and the status it ends with."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from monitor import __version__
from monitor.__main__ import main
from monitor.config import Settings, default_data_dir
from monitor.errors import StartError


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working folder, and no configuration of the machine."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("monitor.config.settings.SYSTEM_CONFIG", tmp_path / "none.toml")


def run(*arguments: str) -> Result:
    """The command, in this process."""
    return CliRunner().invoke(main, arguments)


class Bootstrap:
    """Stands for the running server: remembers what it was given."""

    def __init__(self, status: int = 0, error: BaseException | None = None) -> None:
        self.status, self.error = status, error
        self.given: list[tuple[Settings, Path]] = []
        self.accepted = False
        self.reread: Callable[[], Settings] | None = None

    def serve(
        self,
        settings: Settings,
        data_dir: Path,
        accept_retention: bool = False,
        reread: Callable[[], Settings] | None = None,
    ) -> int:
        """As `monitor.bootstrap.serve`."""
        self.given.append((settings, data_dir))
        self.reread = reread
        self.accepted = accept_retention
        if self.error is not None:
            raise self.error
        return self.status


def serving(monkeypatch: pytest.MonkeyPatch, bootstrap: Bootstrap) -> Bootstrap:
    """Let `monitor serve` start this instead of a server."""
    monkeypatch.setattr("monitor.bootstrap.serve", bootstrap.serve)
    return bootstrap


def test_version() -> None:
    """It must be that --version tells the version."""
    assert run("--version").output == f"monitor, version {__version__}\n"


@pytest.mark.parametrize("words", [("check",), ("config", "check")])
def test_check(words: tuple[str, ...]) -> None:
    """It must be that the check of nothing passes, and says what holds and for how long."""
    result = run(*words)
    assert result.exit_code == 0
    assert 'listen = "127.0.0.1:8460"  # default' in result.stdout
    tls, heading, *tiers = result.stdout.splitlines()[-8:]
    assert tls == "# TLS: off, on loopback"
    match = re.fullmatch(
        r"# History of 1 host with (\d+) series every 1s, by an estimate:", heading
    )
    assert match
    assert int(match[1]) > 0
    said = [re.match(r"#   (.+) for (.+), by age; .+B, .+B a day$", line) for line in tiers]
    assert [found and (found[1], found[2]) for found in said] == [
        ("raw", "2d"),
        ("10s", "2w"),
        ("1m", "90d"),
        ("15m", "366d"),
        ("2h", "5y"),
        ("process tables", "2d"),
    ]
    assert not result.stderr


@pytest.mark.parametrize("words", [("check",), ("config", "check"), ("serve",)])
def test_complaints(words: tuple[str, ...]) -> None:
    """It must be that every complaint is a line of its own, and the status 78."""
    Path("config.toml").write_text("[collect]\ninterval = 5\nrot = 1\n")
    result = run(*words)
    assert result.exit_code == 78
    assert result.stderr.splitlines() == [
        (
            "config.toml:2:1: collect.interval:"
            ' expected a duration such as "1s", got 5: write "5s" or "5m"'
        ),
        'config.toml:3:1: collect.rot: unknown key; did you mean "root"?',
    ]
    assert not result.stdout


def test_missing_file() -> None:
    """It must be that a named file which does not exist is an error, not a default."""
    result = run("check", "--config", "gone.toml")
    assert (result.exit_code, result.stderr) == (78, "gone.toml: there is no such file\n")


def test_options_override_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It must be that --listen and --data win over the file."""
    started = serving(monkeypatch, Bootstrap())
    Path("mine.toml").write_text('[server]\nlisten = "127.0.0.1:1"\ndata_dir = "a"\n')
    assert run("serve", "--config", "mine.toml").exit_code == 0
    options = ("--listen", "127.0.0.1:0", "--data", "b")
    assert run("serve", "--config", "mine.toml", *options).exit_code == 0
    assert [(settings.server.listen, data_dir) for settings, data_dir in started.given] == [
        ("127.0.0.1:1", tmp_path / "a"),
        ("127.0.0.1:0", tmp_path / "b"),
    ]


def test_the_configuration_can_be_read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """It must be that the server is given what reads the same files with the same options again."""
    started = serving(monkeypatch, Bootstrap())
    Path("mine.toml").write_text('[server]\nlisten = "127.0.0.1:1"\n')
    run("serve", "--config", "mine.toml", "--data", "b")
    Path("mine.toml").write_text(
        '[server]\nlisten = "127.0.0.1:1"\n[rules.disk_space]\nfor = "9m"\n'
    )
    assert started.reread is not None
    settings = started.reread()
    assert settings.rules.rules["disk_space"].levels[0].for_seconds == 540
    assert settings.server.data_dir is not None
    assert settings.server.data_dir.name == "b"


def test_retention_is_accepted_where_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """It must be that --accept-retention reaches the server, and is never meant by default."""
    started = serving(monkeypatch, Bootstrap())
    run("serve")
    assert not started.accepted
    run("serve", "--accept-retention")
    assert started.accepted


def test_default_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """It must be that without a word the data are in the usual place."""
    started = serving(monkeypatch, Bootstrap())
    run("serve")
    assert started.given[0][1] == default_data_dir()


def test_status_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """It must be that the server's own status is the command's."""
    serving(monkeypatch, Bootstrap(status=1))
    assert run("serve").exit_code == 1


def test_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """It must be that a start that fails is one line and the status 1."""
    serving(monkeypatch, Bootstrap(error=StartError("port 8460 is busy")))
    result = run("serve")
    assert (result.exit_code, result.stderr) == (1, "port 8460 is busy\n")


def test_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """It must be that Ctrl-C is silent, with the status that shells give it."""
    serving(monkeypatch, Bootstrap(error=KeyboardInterrupt()))
    result = run("serve")
    assert (result.exit_code, result.output) == (130, "")


@pytest.mark.parametrize("words", [("serve", "x"), ("serve", "--lisen", "x"), ("nothing",)])
def test_wrong_usage(words: tuple[str, ...]) -> None:
    """It must be that wrong usage is told with the status 2."""
    result = run(*words)
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def process(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, as a process of its own."""
    root = str(Path(__file__).parent.parent)
    return subprocess.run(
        [sys.executable, "-m", "monitor", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": root, "PYTHONWARNINGS": "error"},
    )


def test_a_real_process() -> None:
    """It must be that `python -m monitor` behaves so too."""
    good = process("check", "--data", "here")
    assert (good.returncode, good.stderr) == (0, "")
    assert '/here"  # --data' in good.stdout
    Path("config.toml").write_text("x = 1")
    bad = process("check")
    assert (bad.returncode, bad.stdout) == (78, "")
    assert bad.stderr == "config.toml:1:1: x: unknown key\n"


def test_check_of_tls() -> None:
    """It must be that the check says how connections will be encrypted, whoever has an account."""
    for listen, said in (("0.0.0.0:1", "auto, with a certificate authority"), ("[::1]:1", "off")):
        Path("mine.toml").write_text(f'[server]\nlisten = "{listen}"\n')
        result = run("check", "--config", "mine.toml")
        assert result.exit_code == 0
        assert f"# TLS: {said}" in result.stdout
    Path("mine.toml").write_text('[server]\ntls_cert = "gone.pem"\ntls_key = "gone.pem"\n')
    result = run("check", "--config", "mine.toml")
    assert result.exit_code == 78
    assert result.stderr == f"server.tls_cert: {Path.cwd()}/gone.pem: No such file or directory\n"


def test_check_is_light() -> None:
    """It must be that checking a configuration imports no web server."""
    code = (
        "import sys; from monitor.__main__ import main; import click.testing as t;"
        "assert t.CliRunner().invoke(main, ['check']).exit_code == 0;"
        "assert not {'quart', 'hypercorn', 'jinja2'} & set(sys.modules)"
    )
    root = str(Path(__file__).parent.parent)
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root, timeout=60)
