"""It must be that ``[remote_write.NAME]`` says what it means, and that what is wrong is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.config import load, render
from monitor.core.secret import MASK
from monitor.errors import ConfigError
from monitor.forward.config import RemoteWriteConfig


def loaded(folder: Path, text: str) -> RemoteWriteConfig:
    (folder / "config.toml").write_text("[remote_write.far]\n" + text)
    return load(Path("config.toml"), cwd=folder).remote_write["far"]


def test_everything_arrives(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("s3cret\n")
    (tmp_path / "t").chmod(0o600)
    found = loaded(
        tmp_path,
        """
        url = "https://vm.lan/api/v1/write"
        token_file = "t"
        headers = { X-Scope-OrgID = "ops" }
        labels = { dc = "eu" }
        hosts = "role in (web, db)"
        size = "2GB"
        interval = "100ms"
        batch = 500
        timeout = "5s"
        tls_ca = "ca.pem"
        """,
    )
    assert found.url == "https://vm.lan/api/v1/write"
    assert found.token is not None
    assert found.token.reveal() == "s3cret"
    assert dict(found.headers) == {"X-Scope-OrgID": "ops"}
    assert dict(found.labels) == {"dc": "eu"}
    assert (found.hosts, found.size) == ("role in (web, db)", 2_000_000_000)
    assert (found.interval, found.batch, found.timeout) == (0.1, 500, 5.0)
    assert found.tls_ca == tmp_path / "ca.pem"
    shown = render(load(Path("config.toml"), cwd=tmp_path))
    assert "s3cret" not in shown
    assert MASK in shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('size = "1GB"', "url is missing"),
        ('url = "vm.lan"', "expected a URL"),
        ('url = "http://user:pass@vm.lan/"', "user name"),
        ('url = "http://vm.lan:22/"', "port 22 is not for HTTP"),
        ('url = "http://a/"\nhosts = "role ~ x"', "the selector at column"),
        ('url = "http://a/"\nheaders = { Authorization = "x" }', "use token_file"),
        ('url = "http://a/"\nheaders = { Content-Length = "1" }', "not for a configuration"),
        ('url = "http://a/"\nheaders = { "a b" = "1" }', "expected a header's name"),
        ('url = "http://a/"\nheaders = { a = "x\\r\\ny: z" }', "printable ASCII"),
        ('url = "http://a/"\nlabels = { host = "x" }', "other than host"),
        ('url = "http://a/"\nlabels = { __name__ = "x" }', "other than host"),
        ('url = "http://a/"\nsize = "1kB"', "expected 1MiB to 1TiB"),
        ('url = "http://a/"\nbatch = 1', "expected 100 to 100000"),
        ('url = "http://a/"\nusername = "x"', "given together"),
        ('url = "http://a/"\ntoken = "in the clear"', "a secret does not stand in"),
        ('url = "http://a/"\nbatch_size = 1', 'did you mean "batch"?'),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        loaded(tmp_path, text)
    assert expected in "\n".join(refusal.value.complaints)


def test_a_token_that_cannot_be_sent_is_said_and_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAR", "s3crét")
    with pytest.raises(ConfigError) as refusal:
        loaded(tmp_path, 'url = "http://a/"\ntoken = "env:FAR"')
    (said,) = refusal.value.complaints
    assert "printable ASCII" in said
    assert "s3cr" not in said


def test_a_token_and_a_password_are_one_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAR", "s3cret")
    with pytest.raises(ConfigError) as refusal:
        loaded(
            tmp_path,
            'url = "http://a/"\ntoken = "env:FAR"\nusername = "x"\npassword = "env:FAR"',
        )
    assert "not both" in "\n".join(refusal.value.complaints)
