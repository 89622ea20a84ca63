"""Rules in configuration files: places, layers, the shipped set, and files that are too much."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from monitor.alerting.shipped import shipped
from monitor.config import Settings, load, render
from monitor.core.rules.model import Above
from monitor.core.rules.reading import read_layers
from monitor.errors import ConfigError

OWN = '[rules.queue]\nmetric = "app.queue.length"\nwarning.above = 100\n'


def loaded(folder: Path, text: str, **included: str) -> Settings:
    """The settings of these files; the included ones are in conf.d."""
    write(folder, text, **included)
    return load(Path("config.toml"), cwd=folder)


def write(folder: Path, text: str | bytes, **included: str) -> None:
    (folder / "conf.d").mkdir(exist_ok=True)
    content = text if isinstance(text, bytes) else text.encode()
    (folder / "config.toml").write_bytes(b'include = ["conf.d/*.toml"]\n' + content)
    for name, part in included.items():
        (folder / "conf.d" / f"{name}.toml").write_text(part)


def complaints(folder: Path, text: str | bytes, **included: str) -> list[str]:
    """What is wrong; nothing may come of it."""
    write(folder, text, **included)
    with pytest.raises(ConfigError) as refusal:
        load(Path("config.toml"), cwd=folder)
    lines = refusal.value.complaints
    assert all(line.isprintable() and len(line) < 600 for line in lines)
    return lines


def test_shipped_without_a_file() -> None:
    """It must be that the shipped rules hold without a configuration, every one without fault."""
    rules, faults = read_layers([shipped()])
    assert not faults
    assert load(None).rules == rules == Settings().rules
    assert len(rules) > 20
    assert all(rule.is_default and rule.origin.startswith("defaults:") for rule in rules)
    assert rules.shipped == frozenset(rules.rules)


def test_layers_and_places(tmp_path: Path) -> None:
    """It must be that files change rules key by key, in their order, each key with its place."""
    found = loaded(
        tmp_path,
        '[rules.disk_space]\nwarning.above = "92%"\n' + OWN,
        a='[rules.queue]\nfor = "5m"\n',
        b="[rules.queue]\nwarning.above = 50\n[rules.cpu_high]\nenabled = false\n",
    )
    queue = found.rules.rules["queue"]
    assert queue.levels[0].clauses[0].limit == Above(50.0, 50.0)
    assert queue.levels[0].for_seconds == 300.0
    assert queue.origin == "conf.d/b.toml:1"
    disk = found.rules.rules["disk_space"]
    assert disk.levels[0].clauses[0].limit == Above(0.92, 0.87)
    assert not disk.is_default
    assert disk.origin == "config.toml:2"
    assert "cpu_high" in found.rules.off
    assert "queue" not in found.rules.shipped


def test_the_shipped_set_dropped(tmp_path: Path) -> None:
    """It must be that `[defaults] rules = false` leaves only what files say."""
    found = loaded(tmp_path, OWN, a="[defaults]\nrules = false\n")
    assert [rule.name for rule in found.rules] == ["queue"]
    change = '[rules.disk_space]\nwarning.above = "92%"'
    lines = complaints(tmp_path, change, a="[defaults]\nrules = false")
    assert lines[0].startswith("config.toml:2:8: rules.disk_space.metric: has to be given")


def test_printed(tmp_path: Path) -> None:
    """It must be that what is printed says every rule and where it was written, and reads back."""
    text = '[rules.disk_space]\nwarning.above = "92%"\n[rules.cpu_high]\nenabled = false\n' + OWN
    found = loaded(tmp_path, text)
    printed = render(found)
    assert "\n[rules.queue]  # config.toml:6\n" in printed
    assert "\n[rules.disk_space]  # config.toml:2\n" in printed
    assert "# [rules.host_unreachable]  # defaults:" in printed
    count, shipped_count = len(found.rules), len(found.rules.shipped)
    assert (
        f"# {count} rules, of which {shipped_count} shipped (1 of them changed), 1 turned off"
        in printed
    )
    assert "can fire, nobody will be told: there is no channel" in printed
    (tmp_path / "again.toml").write_text(printed)
    again = load(tmp_path / "again.toml")
    assert [rule.name for rule in again.rules] == [rule.name for rule in found.rules]
    assert {r.name: (r.levels, r.text) for r in again.rules} == {
        r.name: (r.levels, r.text) for r in found.rules
    }
    assert set(again.rules.off) == {"cpu_high"}


ROWS = [
    # 47
    ("[rules.a]\n[rules.a]", "config.toml:3:", "rules.a stands in line 2 already"),
    ("[rules.a]\nfor = '1m'\nfor = '2m'", "config.toml:4:", "rules.a.for stands in line 3 already"),
    (b"[rules.a]\nsummary = '\xe9'", "config.toml:3:12: ", "byte 0xe9 is not UTF-8"),
    ("[rules.a]\nall = " + "[" * 5000 + "]" * 5000, "config.toml:3:", "nested more than 32 deep"),
    ("[rules.a]\nwarning.above = " + "9" * 5000, "config.toml:3:17: ", "more than 256 characters"),
    # 48
    (OWN + "critical.abvoe = 3", "config.toml:5:", 'abvoe: unknown key; did you mean "above"?'),
    # 49
    (OWN + "critical.above = nan", "config.toml:5:", "rules.queue.critical.above: expected a numb"),
    (OWN + "critical.above = inf", "config.toml:5:", "rules.queue.critical.above: expected a numb"),
    (OWN + 'for = "-5m"', "config.toml:5:1: rules.queue.for: ", "it cannot be negative"),
    (OWN + 'for = "5"', "config.toml:5:1: rules.queue.for: ", 'write "5s" or "5m"'),
    (OWN + 'for = "1e9d"', "config.toml:5:1: rules.queue.for: ", "expected a duration"),
    (
        '[rules.a]\nall = [{ metric = "b", above = 1 }]\nseverity = "critcal"',
        "config.toml:4:1: rules.a.severity: ",
        'did you mean "critical"?',
    ),
    # 50
    (
        '[rules.a]\nmetric = "b"\nwarning.above = 1\nwhere = "c=~(a+)+$"',
        "config.toml:5:1: ",
        "no regular",
    ),
    # Others
    ("rules = 3", "config.toml:2:1: rules: ", "expected tables by name, as [rules.NAME]; got 3"),
    ("[[rules]]", "config.toml:2:3: rules: ", "expected tables by name"),
    ("[rule.a]", "config.toml:2:", 'unknown key; did you mean "rules"?'),
    ("rules.a = 3", "config.toml:2:", "expected tables by name, as [rules.NAME]; got 3"),
    (
        '[rules.disk_space]\nmetric = "system.uptime"',
        "config.toml:2:8: rules.disk_space: ",
        "inherited from defaults:",
    ),
]


@pytest.mark.parametrize(
    ("text", "place", "expected"), [pytest.param(*row, id=str(at)) for at, row in enumerate(ROWS)]
)
def test_one_fault(tmp_path: Path, text: str | bytes, place: str, expected: str) -> None:
    """It must be that a fault of a rule is told with file, line, column, rule and key."""
    lines = complaints(tmp_path, text)
    assert any(line.startswith(place) and expected in line for line in lines), lines


def test_one_file_of_several(tmp_path: Path) -> None:
    """It must be that a fault is told of the file that it is in, whatever others say."""
    lines = complaints(
        tmp_path, OWN, a="[rules.queue]\nfor = '1'\n", b="\n[rules.queue]\nwarning.above = nan\n"
    )
    assert [line.split(": ")[0] for line in lines] == ["conf.d/a.toml:2:1", "conf.d/b.toml:3:9"]


def test_too_large(tmp_path: Path) -> None:
    """It must be that 100 MB, and a million rules, are refused at once."""
    began = time.perf_counter()
    with open(tmp_path / "config.toml", "wb") as file:
        file.truncate(100_000_000)
    with pytest.raises(ConfigError, match="is larger than 1 MiB"):
        load(Path("config.toml"), cwd=tmp_path)
    assert time.perf_counter() - began < 60
    rows = "".join(f"[rules.r{number}]\n" for number in range(60_000))
    lines = complaints(tmp_path, rows)
    assert len(lines) <= 101
    assert any("rules" in line for line in lines)


def test_includes_stay_in_the_folder(tmp_path: Path) -> None:
    """It must be that rules are read from below the configuration's own folder only."""
    for pattern in ("../../etc/shadow", "/etc/*.toml", "https://x/y.toml"):
        (tmp_path / "config.toml").write_text(f'include = ["{pattern}"]\n')
        with pytest.raises(ConfigError, match="leads out of the configuration's own folder"):
            load(Path("config.toml"), cwd=tmp_path)


def test_what_is_documented(tmp_path: Path) -> None:
    """It must be that every example of the page about rules reads, all of them together too."""
    page = Path(__file__).parents[2] / "docs/alerts.md"
    examples = re.findall(r"(?ms)^```toml\n(.+?)^```", page.read_text(encoding="utf-8"))
    assert len(examples) >= 4
    for example in examples:
        loaded(tmp_path, example)
    found = loaded(tmp_path, "\n".join(examples))
    assert {"queue_long", "stuck", "var_full"} < set(found.rules.rules)
