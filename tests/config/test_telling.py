"""Channels, routes, silences and the heartbeat: lists of tables, secrets, and who is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.config import Settings, load, render
from monitor.config.telling import told
from monitor.core.secret import Secret
from monitor.core.selectors import Selector
from monitor.errors import ConfigError
from monitor.notify.config import MOST_ROUTES, ChannelConfig, RouteConfig

SECRET = "hunter2-correct-horse"
PHONE = f'[channels.phone]\nurl = "https://hooks.example.com/{SECRET}"\n'


def write(folder: Path, text: str, **included: str) -> None:
    (folder / "conf.d").mkdir(exist_ok=True)
    (folder / "config.toml").write_text(f'include = ["conf.d/*.toml"]\n{text}')
    for name, part in included.items():
        (folder / "conf.d" / f"{name}.toml").write_text(part)
    for path in (folder / "config.toml", *(folder / "conf.d").iterdir()):
        path.chmod(0o600)


def loaded(folder: Path, text: str, **included: str) -> Settings:
    """The settings of these files; the included ones are in conf.d."""
    write(folder, text, **included)
    return load(Path("config.toml"), cwd=folder)


def complaints(folder: Path, text: str, **included: str) -> list[str]:
    """What is wrong; no line may hold a secret."""
    write(folder, text, **included)
    with pytest.raises(ConfigError) as refusal:
        load(Path("config.toml"), cwd=folder)
    lines = refusal.value.complaints
    assert not [line for line in lines if SECRET in line or not line.isprintable()]
    return lines


def test_everything(tmp_path: Path) -> None:
    """It must be that each key arrives as what it means."""
    (tmp_path / "key").write_text(f"{SECRET}\n")
    (tmp_path / "key").chmod(0o600)
    found = loaded(
        tmp_path,
        PHONE
        + """secret_file = "key"
        [[routes]]
        match = "severity=critical, env=prod"
        channels = ["phone"]
        group_by = ["rule", "host"]
        group_wait = "10s"
        repeat = "1h"
        [[routes]]
        channels = []
        [[silences]]
        match = "env=dev"
        schedule = "Mon-Fri 20:00-06:00 Europe/Berlin"
        comment = "nobody works then"
        [[silences]]
        match = "host=web-1"
        until = 2030-01-31T08:00:00Z
        [[silences]]
        match = "host=web-2"
        until = "2030-01-31"
        [heartbeat]
        url = "https://beat.example.com/x"
        interval = "30s"
        """,
    )
    assert found.channels == {
        "phone": ChannelConfig(
            url=Secret(f"https://hooks.example.com/{SECRET}"), secret=Secret(SECRET)
        )
    }
    assert found.routes == (
        RouteConfig(
            match=Selector.parse("severity=critical, env=prod"),
            channels=("phone",),
            group_by=("rule", "host"),
            group_wait=10.0,
            repeat=3600.0,
        ),
        RouteConfig(channels=()),
    )
    dev, one, two = found.silences
    assert (dev.match.text, dev.comment) == ("env=dev", "nobody works then")
    assert (dev.schedule, dev.until) == ("Mon-Fri 20:00-06:00 Europe/Berlin", "")
    assert (one.until, two.until) == ("2030-01-31T08:00:00+00:00", "2030-01-31")
    assert found.heartbeat.url == Secret("https://beat.example.com/x")
    assert found.heartbeat.interval == 30.0
    assert found.warnings == ()
    assert found.origins["routes.0.match"] == "config.toml:6"


def test_routes_of_several_files(tmp_path: Path) -> None:
    """It must be that each file's routes and silences come after those of earlier files."""
    route = '[[routes]]\nmatch = "a={0}"\nchannels = ["phone"]\n'
    silence = '[[silences]]\nmatch = "a={0}"\nuntil = "2030-01-01"\n'
    found = loaded(
        tmp_path,
        PHONE + route.format(0),
        a=route.format(1) + route.format(2) + silence.format(1),
        b=silence.format(2) + route.format(3),
    )
    assert [route.match.text for route in found.routes if route.match] == [
        "a=0",
        "a=1",
        "a=2",
        "a=3",
    ]
    assert [silence.match.text for silence in found.silences] == ["a=1", "a=2"]
    assert found.origins["routes.3.match"] == "conf.d/b.toml:5"
    assert found.origins["silences.1.match"] == "conf.d/b.toml:2"
    lines = complaints(tmp_path, PHONE + route.format(0), a=route.format(1), b=route.format("("))
    assert lines[0].startswith("conf.d/b.toml:2:1: routes[2].match: the selector at column 3")


def test_printed_without_secrets(tmp_path: Path) -> None:
    """It must be that what is printed masks every address, says where it came from, and reads."""
    text = '[[routes]]\nmatch = "a=\\"b\\""\nchannels = ["phone"]\n[heartbeat]\nurl = "http://a/'
    printed = render(loaded(tmp_path, f'{PHONE}{text}{SECRET}"\n'))
    assert SECRET not in printed
    assert "hooks.example.com" not in printed
    assert '[channels.phone]\nurl = "***"  # written here, config.toml:3\n' in printed
    assert '[[routes]]\nmatch = "a=\\"b\\""  # config.toml:5\nchannels = ["phone"]' in printed
    assert '[heartbeat]\nurl = "***"  # written here, config.toml:8\n' in printed


def test_an_address_in_an_open_file(tmp_path: Path) -> None:
    """It must be that an address that everybody can read is taken, and warned of."""
    write(tmp_path, PHONE)
    (tmp_path / "config.toml").chmod(0o644)
    (warning,) = load(Path("config.toml"), cwd=tmp_path).warnings
    assert warning.startswith(
        "config.toml:3:1: channels.phone.url: stands in a file that everybody"
    )
    assert "say url_file =" in warning
    assert SECRET not in warning


def test_an_address_by_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It must be that an address may come from the environment."""
    monkeypatch.setenv("PHONE", f"https://a/{SECRET}")
    found = loaded(tmp_path, '[channels.phone]\nurl = "env:PHONE"')
    assert found.channels["phone"].url == Secret(f"https://a/{SECRET}")


ROUTE = '[[routes]]\nchannels = ["phone"]\n'
SILENCE = '[[silences]]\nmatch = "a=b"\n'
ROWS = [
    # A channel that there is not: where it is named, and where the one is that may be meant.
    (
        PHONE + '[[routes]]\nchannels = ["phne"]',
        (
            'config.toml:5:13: routes[0].channels[0]: there is no channel "phne"; did you mean'
            ' "phone", in config.toml:2?'
        ),
    ),
    ('[[routes]]\nchannels = ["a"]', 'there is no channel "a", nor any other; make one:'),
    (PHONE + ROUTE + ROUTE, "6:3: routes[1]: nothing comes here: the route in config.toml:4 takes"),
    (PHONE + "[[routes]]\nmatch = 'a=b'", "routes[0].channels: has to be given"),
    (PHONE + ROUTE + "mach = 'a=b'", 'routes[0].mach: unknown key; did you mean "match"?'),
    (PHONE + ROUTE + "match = 3", 'routes[0].match: expected a selector such as "env=prod", got 3'),
    (PHONE + ROUTE + "match = ''", "routes[0].match: the selector at column 1"),
    (PHONE + ROUTE + 'repeat = "5s"', "routes[0].repeat: expected 1m to 30d, got 5s"),
    (PHONE + ROUTE + 'group_by = ["a", "a"]', 'routes[0].group_by: "a" stands here twice'),
    (PHONE + ROUTE + 'group_by = [""]', "routes[0].group_by: expected a label's name"),
    ("[routes]\nchannels = []", "2:2: routes: expected tables, each as [[routes]]"),
    ("routes = [3]", "routes[0]: expected a table, got 3"),
    ("[[routs]]", '2:3: routs: unknown key; did you mean "routes"?'),
    ('match = "a=b"', '2:1: match: unknown key; did you mean "routes.match"?'),
    ("[[routes]]\nchannels = []\n" * (MOST_ROUTES + 1), "routes: expected at most 256 tables, got"),
    # Addresses
    ("[channels.phone]", "channels.phone.url: url or url_file is missing: where to?"),
    (PHONE + 'url_file = "x"', "channels.phone.url_file: url is given too, in config.toml:3; one"),
    ("[channels.a]\nurl = 3", "channels.a.url: expected text in quotes"),
    ('[channels.a]\nurl = ""', "channels.a.url: the text is empty"),
    ('[channels.a]\nurl_file = "gone"', "channels.a.url_file: "),
    ('[channels.a]\nurl = "env:"', 'channels.a.url: expected "env:NAME"'),
    (f'[channels.a]\nurl = "file:///{SECRET}"', "3:1: channels.a.url: "),
    (f'[channels.a]\nurl = "gopher://x/{SECRET}"', "3:1: channels.a.url: "),
    (f'[channels.a]\nurl = "http://127.1/{SECRET}"', "3:1: channels.a.url: "),
    (f'[channels.a]\nurl = "http://u@x/{SECRET}"', "3:1: channels.a.url: "),
    (f'[channels.a]\nurl = "http://x:6379/{SECRET}"', "3:1: channels.a.url: "),
    (PHONE + f'secret = "{SECRET}"', "channels.phone.secret: expected"),
    ("[channels.'a b']\nurl = 'https://a'", 'channels."a b": expected a name of 1 to 64'),
    ('[heartbeat]\nurl = "ftp://a"', "heartbeat.url: expected a URL of http or https"),
    ('[heartbeat]\ninterval = "1s"', "heartbeat.interval: expected 10s to 1d, got 1s"),
    # Silences
    (SILENCE, "3:1: silences[0].match: expected schedule or until, one of the two"),
    (SILENCE + 'schedule = "Mon"\nuntil = "2030-01-01"', "silences[0].until: expected schedule or"),
    ('[[silences]]\nuntil = "2030-01-01"', "silences[0].match: has to be given"),
    (SILENCE + 'schedule = "Mox-Fri 20:00-06:00"', "4:1: silences[0].schedule: "),
    (SILENCE + 'until = "tomorrow"', "4:1: silences[0].until: expected an instant"),
    (SILENCE + "until = 3", "4:1: silences[0].until: expected an instant"),
    (SILENCE + f'until = "2030-01-01"\ncomment = "{"x" * 501}"', "comment: expected at most 500"),
]


@pytest.mark.parametrize(
    ("text", "expected"), [pytest.param(*row, id=str(at)) for at, row in enumerate(ROWS)]
)
def test_one_fault(tmp_path: Path, text: str, expected: str) -> None:
    """It must be that each fault is told with its place and what to do, without any secret."""
    lines = complaints(tmp_path, text)
    assert any(expected in line for line in lines), lines


def test_secret_files(tmp_path: Path) -> None:
    """It must be that a file of an address is one's own, and is told by its path."""
    (tmp_path / "url").write_text(f"https://a.example.com/{SECRET}\n")
    (tmp_path / "url").chmod(0o644)
    text = '[channels.a]\nurl_file = "url"'
    (line,) = complaints(tmp_path, text)
    assert "can be used by others (mode 0644): take their rights away" in line
    (tmp_path / "url").chmod(0o600)
    found = loaded(tmp_path, text)
    assert found.channels["a"].url == Secret(f"https://a.example.com/{SECRET}")
    assert tmp_path / "url" in found.watched
    (tmp_path / "url").write_text("")
    (line,) = complaints(tmp_path, text)
    assert line.endswith("is empty")


def test_who_is_told(tmp_path: Path) -> None:
    """It must be that what is printed says where nobody will be told."""
    assert "nobody will be told: there is no channel" in list(told(loaded(tmp_path, "")))[1]
    lines = list(told(loaded(tmp_path, PHONE)))
    assert lines[1:] == ["every warning and critical goes to every channel: phone"]
    lines = list(
        told(
            loaded(
                tmp_path,
                PHONE
                + '[channels.mail]\nurl = "https://b"\n[[routes]]\nmatch = "a=b"\nchannels = []\n'
                + '[[routes]]\nmatch = "a=c"\nchannels = ["phone"]\n',
            )
        )
    )
    assert lines[1:] == [
        'nobody will be told of alerts of "a=b": its route has no channels',
        "nobody will be told of alerts that no route matches: the last one has a match",
        "the channel mail is told of nothing: no route names it",
    ]


def test_what_is_watched(tmp_path: Path) -> None:
    """It must be that files that were read are watched, and folders in which another may come."""
    found = loaded(tmp_path, "", a="")
    assert found.watched == (
        tmp_path / "config.toml",
        tmp_path / "conf.d/a.toml",
        tmp_path,
        tmp_path / "conf.d",
    )
