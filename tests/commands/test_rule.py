"""`monitor rule`: listing rules, testing them, backtests and drills."""

from __future__ import annotations

import asyncio
import os
import secrets
import threading
import time
from pathlib import Path

import pytest

from monitor.alerting import drills
from monitor.core.messages import Notice, event
from monitor.ports import Entry, EventLog, Registry
from tests.commands.desk import Desk
from tests.notify.alerts import said

QUEUE = '[rules.queue]\nmetric = "app.queue"\nwarning = { above = 100, clear_below = 80 }\n'


def test_rules_are_listed(desk: Desk) -> None:
    """It must be that each has its place, its words and how many of its alerts fire."""
    Path("config.toml").write_text(f"\n{QUEUE}")
    desk.fire("a1", "a2", rule="queue")
    found = {each["name"]: each for each in desk.listed("rule", "list")}
    queue = found["queue"]
    assert (queue["file"], queue["line"], queue["firing"]) == ("config.toml", 2, 2)
    assert queue["condition"] == ["warning: app.queue > 100, until < 80"]
    assert found["disk_space"]["file"] == "defaults"
    assert found["disk_space"]["default"]
    table = desk.done("rule", "list")
    assert "config.toml:2" in table


def test_noise(desk: Desk) -> None:
    """It must be that how often each fired stands beside it."""
    desk.fire("a1", rule="disk_space")
    desk.fire("a1", rule="disk_space", state="resolved", was="firing")
    found = {each["name"]: each for each in desk.listed("rule", "list", "--noise")}
    assert found["disk_space"]["noise"]["fires"] == 1
    assert found["inodes"]["noise"]["fires"] == 0
    assert "SUGGESTION" in desk.done("rule", "list", "--noise")


TEST = """
[[test]]
name = "a queue"
interval = "1m"
[[test.series]]
host = "a"
key = "app.queue"
values = "150x5"
[[test.expect]]
at = "3m"
rule = "queue"
host = "a"
state = "{}"
"""


def test_unit_tests(desk: Desk) -> None:
    """It must be that they are judged by the rules that hold, and one that fails is exit 1."""
    Path("config.toml").write_text(QUEUE)
    for name, state in (("good", "firing"), ("bad", "inactive")):
        Path(f"{name}.toml").write_text(TEST.format(state))
    assert "all as expected" in desk.done("rule", "test", "good.toml")
    result = desk.run("rule", "test", "good.toml", "bad.toml")
    assert result.exit_code == 1
    assert "FAILED  a queue" in result.stdout
    Path("odd.toml").write_text("[[test]]\nnam = 1\n")
    assert "odd.toml:2" in desk.refused("rule", "test", "odd.toml")


def test_a_backtest(desk: Desk) -> None:
    """It must be that it says how often the rule would have fired, in a table or for scripts."""
    Path("queue.toml").write_text(QUEUE)
    assert "there is no history" in desk.refused("rule", "backtest", "queue.toml")
    desk.know("web-1", "db-1")
    for host in ("web-1", "db-1"):
        desk.past(host, "app.queue", [50.0] * 20 + [150.0] * 10 + [50.0] * 20)
    printed = desk.done("rule", "backtest", "queue.toml", "--since", "2h")
    assert "queue: would have fired 2 times on db-1 and web-1" in printed
    arguments = ("rule", "backtest", "queue.toml", "--since", "2h", "--match", "host=web-*")
    (found,) = desk.listed(*arguments)
    (firing,) = found["firings"]
    assert (firing["host"], firing["peak"], found["count"]) == ("web-1", 150.0, 1)
    assert 500 <= firing["end"] - firing["start"] <= 700
    assert found["history"] > 0


def test_a_backtest_beside_a_server_that_writes(desk: Desk) -> None:
    """It must be that the store is only looked at: its lock and its files are left alone."""
    Path("queue.toml").write_text(QUEUE)
    desk.know("web-1")
    desk.past("web-1", "app.queue", [150.0] * 10)

    async def both() -> str:
        from monitor.store.sqlite import open_store  # noqa: PLC0415

        store = await open_store(desk.data)
        try:
            return await asyncio.to_thread(desk.done, "rule", "backtest", "queue.toml")
        finally:
            await store.close()

    assert "would have fired once on web-1" in asyncio.run(both())


WRONG = [
    ("[rules.x]\nabvoe = 1\n", "x.toml:2"),
    ("[rulez.x]\n", "there is no rule in it"),
    ("[rules.x", "x.toml:1"),
]


@pytest.mark.parametrize(("text", "why"), WRONG, ids=range(len(WRONG)))
def test_a_backtest_of_no_rule(desk: Desk, text: str, why: str) -> None:
    """It must be that what is wrong is said with its line."""
    Path("x.toml").write_text(text)
    assert why in desk.refused("rule", "backtest", "x.toml")


def test_a_drill_without_a_server(desk: Desk) -> None:
    """It must be that it is the server's to send, and that rule and host must be there."""
    assert "there is no rule nope" in desk.refused("rule", "drill", "nope", "--host", "web-1")
    assert "there is no host web-1" in desk.refused("rule", "drill", "inodes", "--host", "web-1")
    desk.know("web-1")
    why = desk.refused("rule", "drill", "inodes", "--host", "web-1")
    assert "which does not run here" in why


class Server(threading.Thread):
    """A server that hears a wish, logs the drill, and says what channels did with it."""

    def __init__(self, desk: Desk, outcomes: dict[str, str], **more: object) -> None:
        super().__init__()
        self.desk, self.outcomes, self.more = desk, outcomes, more
        self.wish: drills.Wish | None = None

    def run(self) -> None:
        self.desk.inside(self.work)

    async def work(self, log: EventLog, registry: Registry) -> None:
        async with asyncio.timeout(20):
            found = await anext(
                each async for each in registry.watch(drills.WISHES) if isinstance(each, Entry)
            )
        self.wish = drills.decoded(found.value)
        assert self.wish is not None
        await registry.delete(found.key)
        drill = said("d1", self.wish.host, rule=self.wish.rule, is_drill=True, **self.more)
        await log.append([event(drill, time.time(), secrets.token_hex(8))])
        for channel, outcome in self.outcomes.items():
            details = {"channel": channel, "alerts": ["d1"], "outcome": outcome, "reason": "why"}
            notice = Notice(kind="delivery", text="x", details=details)
            await log.append([event(notice, time.time(), secrets.token_hex(8))])


DRILLS = [
    ({"phone": "delivered", "mail": "given_up"}, {}, 0, ["phone: told", "mail: not told: why"]),
    (
        {"phone": "given_up", "mail": "given_up"},
        {},
        1,
        ["phone: not told: why", "mail: not told: why"],
    ),
    ({}, {"severity": "info"}, 1, ["nobody is told: the rule is for information only"]),
]


@pytest.mark.parametrize(("outcomes", "more", "status", "lines"), DRILLS, ids=range(len(DRILLS)))
def test_a_drill(
    desk: Desk, outcomes: dict[str, str], more: dict[str, str], status: int, lines: list[str]
) -> None:
    """It must be that it is left for the server, and each channel's outcome is said."""
    channels = "".join(
        f'[channels.{name}]\nurl = "https://{name}.example.org"\n' for name in ("phone", "mail")
    )
    Path("config.toml").write_text(channels)
    Path("config.toml").chmod(0o600)
    desk.know("web-1")
    (desk.data / "lock").write_text(f"{os.getpid()}\n")
    server = Server(desk, outcomes, **more)
    server.start()
    result = desk.run("rule", "drill", "inodes", "--host", "web-1")
    server.join()
    assert result.stdout.splitlines() == lines
    assert result.exit_code == status
    assert server.wish is not None
    assert (server.wish.rule, server.wish.host) == ("inodes", "web-1")
    assert ("rule.drill", "inodes") in [
        (each["action"], each["target"]) for each in desk.notices("audit")
    ]


def test_a_drill_that_nobody_hears(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """It must be that the wish is taken away again."""
    monkeypatch.setattr("monitor.commands.rulework.DRILL_SECONDS", 0.1)
    desk.know("web-1")
    (desk.data / "lock").write_text(f"{os.getpid()}\n")
    assert "has not sent the drill" in desk.refused("rule", "drill", "inodes", "--host", "web-1")

    async def left(log: EventLog, registry: Registry) -> list[str]:
        del log
        return await registry.keys(drills.WISHES)

    assert desk.inside(left) == []
