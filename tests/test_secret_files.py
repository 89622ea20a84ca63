"""Secrets that a configuration refers to: by file or environment, and never in it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from monitor.__main__ import main
from monitor.commands import places
from monitor.config import Settings, render
from monitor.config.checking import check
from monitor.config.files import Complaint, merged
from monitor.core.secret import Secret

TEXT = "hunter2-correct-horse"
FAULTY = "an hunter2 that is not to be seen"


@dataclass(frozen=True, slots=True)
class PhoneConfig:
    """How a room declares secrets: here a channel, whose address is one."""

    url: Secret | None = None
    """Files say ``url_file = "phone.url"`` or ``url = "env:PHONE_URL"``."""
    password: Secret | None = None
    retries: int = 3


@dataclass(frozen=True)
class Root(Settings):
    """The settings with one room more."""

    phone: PhoneConfig = field(default_factory=PhoneConfig)


def read(folder: Path, text: str) -> tuple[Root | None, list[str]]:
    """The settings and the complaints."""
    (folder / "config.toml").write_text(text)
    complaints: list[Complaint] = []
    document = merged(Path("config.toml"), folder, complaints)
    values = check(Root, document, complaints)
    lines = [complaint.line for complaint in complaints]
    assert not [line for line in lines if "hunter2" in line or not line.isprintable()]
    if complaints:
        return None, lines
    origins = {".".join(map(str, path)): at.short for path, at in document.origins.items()}
    return Root(**values, origins=origins, warnings=tuple(document.warnings)), lines


def found(folder: Path, text: str) -> Root:
    """The settings, which must be without fault."""
    settings, complaints = read(folder, text)
    assert settings is not None, complaints
    return settings


def written(folder: Path, content: bytes = TEXT.encode(), mode: int = 0o600) -> Path:
    """A file with a secret."""
    path = folder / "phone.url"
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_by_file(tmp_path: Path) -> None:
    """It must be that a file beside the one that names it gives the secret."""
    written(tmp_path)
    settings = found(tmp_path, '[phone]\nurl_file = "phone.url"\nretries = 4')
    assert settings.phone == PhoneConfig(url=Secret(TEXT), retries=4)
    assert settings.phone.url is not None
    assert settings.phone.url.source == str(tmp_path / "phone.url")
    assert settings.warnings == ()
    assert TEXT not in repr(settings)


def test_by_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It must be that a variable of the environment gives the secret."""
    monkeypatch.setenv("PHONE_URL", TEXT)
    settings = found(tmp_path, '[phone]\nurl = "env:PHONE_URL"')
    assert settings.phone.url == Secret(TEXT)


def test_relative_to_its_file(tmp_path: Path) -> None:
    """It must be that an included file names secrets from where it is."""
    folder = tmp_path / "conf.d"
    folder.mkdir()
    written(folder)
    (folder / "a.toml").write_text('[phone]\nurl_file = "phone.url"')
    assert found(tmp_path, 'include = ["conf.d/*.toml"]').phone.url == Secret(TEXT)


@pytest.mark.parametrize(
    "content", [b"%b\n", b"%b\r\n", b" %b ", b"%b", "ä%b".encode(), b"%b" + b"x" * 60_000]
)
def test_end_of_line(tmp_path: Path, content: bytes) -> None:
    """It must be that the end of the last line is no part of the secret, and the rest is."""
    whole = content % TEXT.encode()
    written(tmp_path, whole)
    secret = found(tmp_path, '[phone]\nurl_file = "phone.url"').phone.url
    assert secret == Secret(whole.decode().rstrip("\r\n"))


@pytest.mark.parametrize(
    "value", [f'"{FAULTY}"', '"env:"', '"env:a b"', '"ENV:X"', '""', "2", "[]"]
)
def test_inline(tmp_path: Path, value: str) -> None:
    """It must be that a secret in the configuration is refused, and not said again."""
    _, complaints = read(tmp_path, f"[phone]\nurl = {value}")
    assert len(complaints) == 1
    assert complaints[0].startswith('config.toml:2:1: phone.url: expected "env:NAME"')
    assert "or say url_file = and the path of a file" in complaints[0]


@pytest.mark.parametrize(
    "text",
    [
        f'[phone]\nurl = {{ a = "{FAULTY}" }}',
        f'[phone.url]\na = "{FAULTY}"',
        f'[phone]\nulr = "{FAULTY}"',
        f'[phone]\nurl = "env:{FAULTY}"',
        '[phone]\nurl = "env:hunter2"',
        f'[phone]\nurl = ["{FAULTY}"]',
        f'[phone]\nurl = "{FAULTY}',
        "[phone]\nurl = hunter2",
        f'[phone]\nurl = "{FAULTY}" x',
        f'[phone]\nurl = "{FAULTY}"\nurl = "{FAULTY}"',
    ],
)
def test_never_said(tmp_path: Path, text: str) -> None:
    """It must be that however a secret is written wrongly, no complaint repeats it."""
    settings, complaints = read(tmp_path, text)
    assert settings is None
    assert complaints


def test_both(tmp_path: Path) -> None:
    """It must be that a secret that is given twice is refused, naming both places."""
    written(tmp_path)
    _, complaints = read(tmp_path, '[phone]\nurl = "env:HOME"\nurl_file = "phone.url"')
    sentence = "url is given too, in config.toml:2; one of the two is enough"
    assert complaints == [f"config.toml:3:1: phone.url_file: {sentence}"]


def absent(path: Path) -> None:
    path.unlink()


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def holding(content: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(content)

    return write


def open_to(mode: int) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        path.chmod(mode)

    return change


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (absent, "is not there"),
        (pipe, "is no regular file"),
        (folder, "is a folder, not a file"),
        (device, "is a symbolic link"),
        (link, "is a symbolic link: name the file that it leads to"),
        (open_to(0o644), "can be used by others (mode 0644)"),
        (open_to(0o640), "can be used by others (mode 0640)"),
        (holding(b""), "is empty"),
        (holding(b"\n"), "is empty"),
        (holding(b" \t\r\n"), "is empty"),
        (holding(b"hunter2\nhunter2"), "has more than one line"),
        (holding(b"hunter2\n\n"), "has more than one line"),
        (holding(b"hunter2\rhunter2\n"), "has more than one line"),
        (holding(b"hunter2\0"), "holds a NUL"),
        (holding(b"hunter2\xff"), "is not UTF-8"),
        (holding(b"\xef\xbb\xbfhunter2"), "begins with a byte order mark"),
        (holding("hunter2".encode("utf-16")), "is not UTF-8"),
        (holding(b"hunter2" * 10_000), "is larger than 65,536 bytes"),
    ],
)
def test_files(tmp_path: Path, make: Callable[[Path], None], sentence: str) -> None:
    """It must be that whatever is no private line of text is refused, with its place and path."""
    path = written(tmp_path)
    make(path)
    _, complaints = read(tmp_path, '[phone]\nurl_file = "phone.url"')
    assert len(complaints) == 1
    assert complaints[0].startswith(f"config.toml:2:1: phone.url_file: {path} {sentence}")


@pytest.mark.parametrize("value", ['""', "7", "[]", "{}", '"~/phone.url"', '"a\\u0000b"', "true"])
def test_no_path(tmp_path: Path, value: str) -> None:
    """It must be that what is no path is refused."""
    _, complaints = read(tmp_path, f"[phone]\nurl_file = {value}")
    assert len(complaints) == 1
    assert "path" in complaints[0]


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (None, "the environment has no variable PHONE_URL"),
        ("", "the variable PHONE_URL is empty"),
        ("\n", "the variable PHONE_URL is empty"),
        ("hunter2\nhunter2", "the variable PHONE_URL has more than one line"),
        ("hunter2\udcff", "the variable PHONE_URL is not UTF-8"),
        ("hunter2" * 10_000, "the variable PHONE_URL has more than 65,536 bytes"),
    ],
)
def test_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str | None, sentence: str
) -> None:
    """It must be that a variable that is not there, or is no line of text, is refused."""
    monkeypatch.delenv("PHONE_URL", raising=False)
    if value is not None:
        monkeypatch.setenv("PHONE_URL", value)
    _, complaints = read(tmp_path, '[phone]\nurl = "env:PHONE_URL"')
    assert complaints == [f"config.toml:2:1: phone.url: {sentence}"]


def test_place_for_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It must be that an open mode in systemd's folder is a warning, with its place."""
    path = written(tmp_path, mode=0o444)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    settings = found(tmp_path, '[phone]\nurl_file = "phone.url"')
    assert settings.phone.url == Secret(TEXT)
    (warning,) = settings.warnings
    assert warning.startswith(f"config.toml:2:1: phone.url_file: {path} can be used by others")


def test_every_fault_at_once(tmp_path: Path) -> None:
    """It must be that faults of secrets are told beside all others."""
    _, complaints = read(
        tmp_path, '[phone]\nurl = "x"\npassword_file = "no"\npasswrod = 1\nretries = "x"'
    )
    assert len(complaints) == 4
    assert any(
        line.endswith(('did you mean "password"?', 'did you mean "password_file"?'))
        for line in complaints
    )


def test_rendered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It must be that the effective configuration shows a mask, and where it came from."""
    path = written(tmp_path)
    monkeypatch.setenv("PHONE_PASSWORD", TEXT)
    text = '[phone]\nurl_file = "phone.url"\npassword = "env:PHONE_PASSWORD"'
    lines = render(found(tmp_path, text)).splitlines()
    first = lines.index("[phone]") + 1
    assert lines[first : first + 3] == [
        f'url = "***"  # {path}, config.toml:2',
        'password = "***"  # env:PHONE_PASSWORD, config.toml:3',
        "retries = 3  # default",
    ]
    assert "# url is not set" in "\n".join(render(Root()).splitlines())


def test_environment_stays_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It must be that neither check nor doctor tells what the environment holds."""
    for name in ("PHONE_URL", "AWS_SECRET_ACCESS_KEY", "MONITOR_TOKEN"):
        monkeypatch.setenv(name, TEXT)
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    commands: list[list[str]] = [["config", "check"], ["doctor"], ["doctor", "--json"], ["--help"]]
    for command in commands:
        arguments: list[Any] = [*command]
        if command[0] != "--help":
            arguments += ["--data", str(data)]
        said = CliRunner().invoke(main, arguments)
        assert TEXT not in said.output


def test_warnings_are_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It must be that whoever starts a command sees what is odd, beside what it prints."""
    monkeypatch.setattr(places, "load", lambda *_, **__: Settings(warnings=("odd",)))
    places.loaded(None, None)
    assert capsys.readouterr() == ("", "warning: odd\n")
