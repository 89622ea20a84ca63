"""Targets as they are written, and files of them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from monitor.scrape.targets import FILE_BYTES, MOST_TARGETS, TargetFiles, distinct, made


@pytest.mark.parametrize(
    ("text", "url", "host", "instance"),
    [
        ("web-1:9100", "http://web-1:9100/metrics", "web-1", "web-1:9100"),
        ("Web-1.LAN:9100", "http://Web-1.LAN:9100/metrics", "web-1.lan", "web-1.lan:9100"),
        ("https://web-1/x?y=z", "https://web-1/x?y=z", "web-1", "web-1:443/x"),
        ("https://web-1", "https://web-1/metrics", "web-1", "web-1:443"),
        (
            "[2001:db8::1]:9100",
            "http://[2001:db8::1]:9100/metrics",
            "2001-db8--1",
            "[2001:db8::1]:9100",
        ),
        ("10.0.0.1:9100", "http://10.0.0.1:9100/metrics", "10.0.0.1", "10.0.0.1:9100"),
    ],
)
def test_a_target_is_a_place_and_a_host(text: str, url: str, host: str, instance: str) -> None:
    target = made("node", text)
    assert (target.url, target.host, target.instance) == (url, host, instance)
    assert target.source == f"scrape:node/{instance}"
    assert "y=z" not in target.shown + repr(target), "a query may be a secret"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "web 1:9100",
        "web-1:0",
        "web-1:6379",
        "user:secret@web-1:9100",
        "file:///etc/passwd",
        "ftp://web-1:9100/",
        "127.1:9100",
        "http://",
        "x" * 3000,
    ],
    ids=range(10),
)
def test_what_is_no_target(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|got") as error:
        made("node", text)
    assert "secret" not in str(error.value)
    assert len(str(error.value)) < 300


def test_what_labels_of_a_file_say() -> None:
    """It must be that host, scheme and path are obeyed, and Prometheus' other ones left out."""
    labels = {
        "host": "web-one",
        "__scheme__": "https",
        "__metrics_path__": "probe",
        "__meta_x": "y",
        "role": "web",
    }
    target = made("node", "10.0.0.1:9100", labels)
    assert (target.url, target.host) == ("https://10.0.0.1:9100/probe", "web-one")
    assert target.labels == {"role": "web"}
    with pytest.raises(ValueError, match="a host's name"):
        made("node", "10.0.0.1:9100", {"host": "a b"})


def write(path: Path, groups: object) -> None:
    """Replace a file, as those who write such files do."""
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(groups))
    fresh.rename(path)


def test_files_are_read_again_when_they_change(tmp_path: Path) -> None:
    files = TargetFiles("node", tmp_path / "*.json", {"env": "prod", "role": "any"})
    assert files.look().complaints == ('there is no file "*.json"',)
    write(tmp_path / "a.json", [{"targets": ["web-1:9100"], "labels": {"role": "web"}}])
    write(tmp_path / "b.json", [{"targets": ["web-2:9100", "web-3:9100"]}])
    found = files.look()
    assert [target.host for target in found.targets] == ["web-1", "web-2", "web-3"]
    assert found.targets[0].labels == {"env": "prod", "role": "web"}
    assert not found.complaints
    write(tmp_path / "b.json", [])
    assert [target.host for target in files.look().targets] == ["web-1"]
    (tmp_path / "a.json").unlink()
    assert files.look().targets == ()


BROKEN = [
    ("{", "is no JSON"),
    ("[" * 100_000, "is no JSON"),
    ("{}", "is no list"),
    ('[{"targets": "web-1:9100"}]', "no list of text"),
    ('[{"targets": [1]}]', "no list of text"),
    ('[["web-1:9100"]]', "no list of text"),
    ('[{"targets": ["web-9:9100"], "labels": {"a": 1}}]', "no table of text"),
    ('[{"targets": ["web-9:9100"], "labels": {"a b": "1"}}]', "expected a label's name"),
    ('[{"targets": ["web 9"]}]', "expected"),
    (" " * (FILE_BYTES + 1), "is larger than 1 MiB"),
]


@pytest.mark.parametrize(("text", "said"), BROKEN, ids=range(len(BROKEN)))
def test_a_broken_file_keeps_the_old_list_and_is_shown(
    tmp_path: Path, text: str, said: str
) -> None:
    files = TargetFiles("node", tmp_path / "targets.json", {})
    write(tmp_path / "targets.json", [{"targets": ["web-1:9100"]}])
    files.look()
    (tmp_path / "targets.json").write_text(text)
    for _ in range(2):
        found = files.look()
        assert [target.host for target in found.targets] == ["web-1"]
        assert "targets.json" in found.complaints[0]
        assert said in found.complaints[0]
    write(tmp_path / "targets.json", [{"targets": ["web-2:9100"]}])
    assert [target.host for target in files.look().targets] == ["web-2"]


def test_a_pipe_is_no_file_of_targets(tmp_path: Path) -> None:
    """It must be that nothing waits for its other end."""
    os.mkfifo(tmp_path / "targets.json")
    found = TargetFiles("node", tmp_path / "targets.json", {}).look()
    assert found.complaints == ("targets.json: is no regular file",)


def test_each_target_is_polled_once_and_only_so_many() -> None:
    many = [made("node", f"web-{n}:9100") for n in range(MOST_TARGETS + 5)]
    twice = made("node", "https://web-0:9100/metrics?x=y")
    kept, complaints = distinct([many[0], twice, *many])
    assert kept == many[:MOST_TARGETS]
    assert [said.split(" ")[0] for said in complaints] == ["1", "5"]
    assert not distinct([many[0], many[0], made("other", "web-0:9100")])[1]
