"""`monitor alert` and `monitor silence`, in the place of a server or beside one."""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path

import pytest

from monitor.model import HostStatus
from tests.commands.desk import Desk


def states(desk: Desk, *arguments: str) -> dict[str, str]:
    """Where listed alerts stand, by id."""
    return {each["alert"]: each["standing"] for each in desk.listed("alert", "list", *arguments)}


def test_alerts_are_listed(desk: Desk) -> None:
    """It must be that those that are open are listed, the worst first, and in a table too."""
    assert desk.listed("alert", "list") == []
    desk.fire("a1", "a2", since=time.time())
    desk.fire("a3", severity="critical")
    desk.fire("a2", state="resolved", was="firing")
    assert list(states(desk)) == ["a3", "a1"]
    assert states(desk, "--state", "resolved") == {"a2": "resolved"}
    assert list(states(desk, "--state", "all")) == ["a3", "a1", "a2"]
    assert states(desk, "--match", "severity=critical, env=prod") == {"a3": "firing"}
    table = desk.done("alert", "list").splitlines()
    assert table[0].split() == ["ID", "SEVERITY", "STATE", "HOST", "RULE", "OF", "SINCE", "WHAT"]
    assert table[1].split()[:5] == ["a3", "critical", "firing", "web-a3", "disk_space"]


def test_a_long_list(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """It must be that it is cut, and that this is said beside it."""
    monkeypatch.setattr("monitor.commands.alert.MOST_LISTED", 2)
    desk.fire("a1", "a2", "a3")
    result = desk.run("alert", "list", "--json")
    assert len(json.loads(result.stdout)) == 2
    assert "the first 2 of 3" in result.stderr


def test_where_they_stand(desk: Desk) -> None:
    """It must be that held, silenced and acknowledged are told as the server would."""
    desk.fire("a1", "a2", "a3", "a4")
    desk.know("web-a1", status=HostStatus.DOWN)
    desk.know("web-a2", "web-a3", "web-a4")
    desk.done("silence", "create", "--match", "host in (web-a1, web-a2)", "--for", "1h")
    desk.done("alert", "ack", "a2", "a3", "--note", "mine")
    assert states(desk) == {"a1": "held", "a2": "silenced", "a3": "acknowledged", "a4": "firing"}
    assert states(desk, "--state", "acknowledged") == {"a3": "acknowledged"}


def test_one_alert(desk: Desk) -> None:
    """It must be that it is shown with who acknowledged it, and its evidence for scripts."""
    desk.fire("a1", evidence={"at": 1.0, "processes": {}}, summary="/var is full")
    desk.done("alert", "ack", "a1", "--note", "mine")
    shown = desk.done("alert", "show", "a1")
    assert "/var is full" in shown
    assert "mine" in shown
    assert '"processes": {}' in desk.done("alert", "show", "a1", "--json")
    assert "there is no alert a9" in desk.refused("alert", "show", "a9")


def test_acknowledging(desk: Desk) -> None:
    """It must be that it is written down with who did it, and can be taken back."""
    desk.fire("a1")
    desk.done("alert", "ack", "a1", "--note", "mine")
    desk.done("alert", "ack", "a1", "--undo")
    done = [(each["action"], each["note"]) for each in desk.notices("ack")]
    assert done == [("create", "mine"), ("delete", "")]
    audit = desk.notices("audit")[0]
    assert (audit["action"], audit["target"]) == ("ack.create", "a1")
    assert audit["address"] == "command line"
    desk.fire("a1", state="resolved", was="firing")
    assert "is over" in desk.refused("alert", "ack", "a1")


def test_silences(desk: Desk) -> None:
    """It must be that one is made, listed, ended, and told with how many alerts it takes."""
    desk.fire("a1")
    result = desk.run("silence", "create", "--match", "env=prod", "--for", "2h", "--comment", "x y")
    id_ = result.stdout.strip()
    assert "it takes 1 alert that fires now" in result.stderr
    (listed,) = desk.listed("silence", "list")
    assert (listed["id"], listed["state"], listed["comment"]) == (id_, "active", "x y")
    assert 7_100 < listed["until"] - time.time() <= 7_200
    desk.done("silence", "delete", id_)
    assert desk.listed("silence", "list") == []
    (old,) = desk.listed("silence", "list", "--all")
    assert (old["state"], old["ended_by"]) == ("expired", old["by"])
    assert [each["action"] for each in desk.notices("silence")] == ["create", "end"]
    assert "there is no such silence" in desk.refused("silence", "delete", "nothing")


def test_a_schedule(desk: Desk) -> None:
    """It must be that it is a maintenance without an end, until somebody ends it."""
    schedule = "Sat,Sun 02:00-04:00 Europe/Berlin"
    desk.done("silence", "create", "--match", "host=db-*", "--schedule", schedule)
    (listed,) = desk.listed("silence", "list")
    assert (listed["schedule"], listed["until"]) == (schedule, None)
    assert len(desk.notices("maintenance")) == 1


def test_silences_of_the_configuration(desk: Desk) -> None:
    """It must be that they are listed with their place, which is where they are ended."""
    Path("config.toml").write_text('[[silences]]\nmatch = "host=a"\nschedule = "Sat"\n')
    (listed,) = desk.listed("silence", "list")
    assert (listed["id"], listed["origin"]) == ("config:0", "config.toml:1")
    assert "config.toml:1" in desk.refused("silence", "delete", "config:0")


REFUSED = [
    (("--match", "", "--for", "1h"), "expected a label's name"),
    (("--match", "host=a"), "a silence has an end"),
    (("--match", "host=a", "--for", "1h", "--until", "2030-01-01"), "say one of them"),
    (("--match", "host=a", "--for", "5"), "expected an instant"),
    (("--match", "host=a", "--until", "2001-01-01"), "ends after it begins"),
    (("--match", "host=a", "--schedule", "sometimes"), "expected a schedule"),
    (("--for", "1h"), "--match"),
]


@pytest.mark.parametrize(("arguments", "why"), REFUSED, ids=range(len(REFUSED)))
def test_what_is_no_silence(desk: Desk, arguments: tuple[str, ...], why: str) -> None:
    """It must be that it is refused with the sentence that says what is wrong."""
    assert why in desk.refused("silence", "create", *arguments)
    assert desk.listed("silence", "list") == []


def test_beside_a_server_they_wait_until_it_knows(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must be that what was made holds for a running server when the command has returned."""
    monkeypatch.setattr("monitor.commands.alertwork.SEEN_SECONDS", 0.0)
    waited: list[float] = []
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        waited.append(seconds)
        await sleep(0)

    monkeypatch.setattr("monitor.commands.alertwork.asyncio.sleep", noted)
    desk.fire("a1")
    desk.done("alert", "ack", "a1")
    assert waited == []
    (desk.data / "lock").write_text(f"{os.getpid()}\n")
    desk.done("alert", "list")
    assert waited == []
    desk.done("alert", "ack", "a1", "--undo")
    assert waited == [0.0]
