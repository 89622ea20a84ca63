"""`[scrape.NAME]`: what may stand there, and what is said of what may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.config import load
from monitor.errors import ConfigError
from monitor.scrape.config import ScrapeConfig


def loaded(folder: Path, text: str) -> ScrapeConfig:
    (folder / "config.toml").write_text(f"[scrape.node]\n{text}\n")
    return load(Path("config.toml"), cwd=folder).scrape["node"]


def complaints(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        loaded(folder, text)
    return error.value.complaints


def test_everything(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("mon_x\n")
    (tmp_path / "token").chmod(0o600)
    (tmp_path / "ca.pem").touch()
    found = loaded(
        tmp_path,
        'targets = ["web-1:9100", "https://web-2/x"]\ntargets_file = "targets/*.json"\n'
        'interval = "5s"\ntimeout = "30s"\nlabels = { role = "web" }\nmax_body = "1MiB"\n'
        'max_samples = 10\ntoken_file = "token"\ntls_ca = "ca.pem"',
    )
    assert found.targets == ("web-1:9100", "https://web-2/x")
    assert found.targets_file == tmp_path / "targets/*.json"
    assert (found.interval, found.timeout_seconds) == (5, 5), "two scrapes never overlap"
    assert (found.max_body, found.max_samples) == (1 << 20, 10)
    assert found.token is not None
    assert found.token.reveal() == "mon_x"


def test_defaults(tmp_path: Path) -> None:
    found = loaded(tmp_path, 'targets = ["web-1:9100"]')
    assert (found.interval, found.timeout_seconds) == (15, 10)
    assert (found.max_body, found.max_samples) == (16 << 20, 50_000)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "there is nobody to poll"),
        ('targets = ["web 1:9100"]', "scrape.node.targets"),
        ('targets = ["user:hunter2@web-1:9100"]', "a user name or an @"),
        ('targets = ["file:///etc/passwd"]', "http or https"),
        ('targets = ["web-1:9100"]\ninterval = "10ms"', "expected 1s to 1h, got 10ms"),
        ('targets = ["web-1:9100"]\nmax_samples = 0', "expected 1 to 50000, got 0"),
        ('targets = ["web-1:9100"]\nmax_body = "1GB"', "scrape.node.max_body"),
        ('targets = ["web-1:9100"]\ntoken = "hunter2"', "a secret does not stand"),
        ('targets = ["web-1:9100"]\ntls_ca = "nothing.pem"', "a file of certificates that exists"),
        ('targets = ["web-1:9100"]\nlabels = { host = 1 }', "scrape.node.labels"),
        ('target = ["web-1:9100"]', 'did you mean "targets"'),
    ],
    ids=range(11),
)
def test_complaints_say_where_and_what(tmp_path: Path, text: str, said: str) -> None:
    found = complaints(tmp_path, text)
    assert any(said in line for line in found), found
    assert "hunter2" not in str(found)
