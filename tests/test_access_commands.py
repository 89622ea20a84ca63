"""`monitor user`, `session` and `token`: what they write, say and refuse."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import pwd
import re
import stat
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest
from click.testing import CliRunner, Result

from monitor.__main__ import main
from monitor.access.office import Office
from monitor.access.passwords import Passwords
from monitor.access.records import Token
from monitor.commands.tables import show
from monitor.core.access import TokenKind
from monitor.log.sqlite import open_log
from monitor.model import RetentionClass
from tests import serving
from tests.access.house import CHEAP, PASSWORD

ME = pwd.getpwuid(os.getuid()).pw_name

_Result = TypeVar("_Result")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty working folder, no configuration of the machine, and hashes in no time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("monitor.config.settings.SYSTEM_CONFIG", tmp_path / "none.toml")
    monkeypatch.setattr(Passwords.__init__, "__defaults__", (CHEAP,))
    before = os.umask(0o022)
    yield
    os.umask(before)


def run(*arguments: str, given: str | bytes | None = None) -> Result:
    """The command, in this process, on the data in `data`."""
    return CliRunner().invoke(main, [*arguments, "--data", "data"], input=given)


def done(*arguments: str, given: str | bytes | None = None) -> Result:
    """The same, and it went well."""
    result = run(*arguments, given=given)
    assert result.exit_code == 0, result.output
    return result


def user(name: str, role: str = "admin", *more: str) -> Result:
    """An account is made."""
    return done("user", "create", name, "--role", role, "--password-stdin", *more, given=PASSWORD)


def inside(work: Callable[[Office], Awaitable[_Result]]) -> _Result:
    """Look into the data as a server does."""

    async def within() -> _Result:
        log, registry = await open_log(Path("data"))
        office = Office(registry, log, time.time)
        await office.load()
        try:
            return await work(office)
        finally:
            await log.close()
            await registry.close()

    return asyncio.run(within())


def tokens() -> list[Token]:
    """Every token that is kept, newest first."""

    async def work(office: Office) -> list[Token]:
        return office.tokens.all()

    return inside(work)


def may_log_in(name: str, password: str = PASSWORD) -> bool:
    """Whether somebody comes in so."""

    async def work(office: Office) -> bool:
        found = await office.accounts.log_in(
            name, password, remember=True, address="::1", agent="Firefox"
        )
        return found is not None

    return inside(work)


# People


def test_an_account_from_its_making_to_its_end() -> None:
    """It must be that accounts are made, listed, changed and removed."""
    first = user("Ann", "viewer", "--hosts", "web-*, db-1", "--hosts", "x")
    assert first.stdout == "ann may log in as viewer\n"
    assert "asks everybody" in first.stderr
    assert "no administrator" in first.stderr
    second = user("ben")
    assert second.stderr == ""
    assert done("user", "role", "ANN", "operator").stdout == "ann is operator now\n"
    listed = json.loads(done("user", "list", "--json").stdout)
    assert [(each["name"], each["role"], each["hosts"]) for each in listed] == [
        ("ann", "operator", ["web-*", "db-1", "x"]),
        ("ben", "admin", ["*"]),
    ]
    heading, *rows = done("user", "list").stdout.splitlines()
    assert heading.split()[:3] == ["NAME", "ROLE", "SESSIONS"]
    assert [row.split()[:3] for row in rows] == [["ann", "operator", "0"], ["ben", "admin", "0"]]
    assert rows[0].endswith("web-*,db-1,x")
    done("user", "delete", "ann")
    assert [each["name"] for each in json.loads(done("user", "list", "--json").stdout)] == ["ben"]


def test_another_password_ends_the_sessions() -> None:
    """It must be that a password set here is the one that holds, and nobody stays by the old."""
    user("ann")
    assert may_log_in("ann")
    assert len(json.loads(done("session", "list", "--json").stdout)) == 1
    done("user", "password", "Ann", "--password-stdin", given="staple another battery\n")
    assert json.loads(done("session", "list", "--json").stdout) == []
    assert not may_log_in("ann")
    assert may_log_in("ann", "staple another battery")


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_a_password_is_what_was_piped_in(ending: str) -> None:
    """It must be that the newline of `echo` is none of the password, and a space is."""
    done("user", "create", "ann", "--role", "admin", "--password-stdin", given=f" a pass {ending}")
    assert may_log_in("ann", " a pass ")
    assert not may_log_in("ann", "a pass")


@pytest.mark.parametrize(
    "given", ["", "\n", "short", "password\n", PASSWORD + "\n\n", b"\xff" * 12, "xy" * 9_000]
)
def test_a_bad_password_makes_no_account(given: str | bytes) -> None:
    """It must be that a password which is refused is not shown, and leaves no account."""
    command = ("user", "create", "ann", "--role", "admin", "--password-stdin")
    result = run(*command, given=given)
    assert refused(result)
    if isinstance(given, str) and len(given) > 9:
        assert given.strip() not in result.stderr
    assert json.loads(done("user", "list", "--json").stdout) == []


@pytest.mark.parametrize(
    "command", [("user", "create", "ann", "--role", "admin"), ("user", "password", "ann")]
)
def test_without_a_terminal_the_option_is_named(command: tuple[str, ...]) -> None:
    """It must be that a script which pipes nothing in learns how."""
    assert "--password-stdin" in refused(run(*command, given=PASSWORD))


def test_a_terminal_is_asked_twice_and_shows_nothing(tmp_path: Path) -> None:
    """It must be that who types a password types it twice, and that it is not on the screen."""
    ours, theirs = pty.openpty()
    line = [*serving.checkout_command(), "user", "create", "ann", "--role", "admin"]
    process = subprocess.Popen(
        [sys.executable, "-c", TERMINAL, *line, "--data", str(tmp_path / "data")],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=serving.checkout_environment(),
        start_new_session=True,
    )
    os.close(theirs)
    shown = ""
    try:
        for number in (1, 2):
            while shown.count(": ") < number:
                shown += os.read(ours, 4_096).decode()
            os.write(ours, PASSWORD.encode() + b"\n")
        while "may log in" not in shown:
            shown += os.read(ours, 4_096).decode()
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert PASSWORD not in shown
    assert may_log_in("ann")


TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Takes its standard input for its terminal, and becomes the command."""


def refused(result: Result) -> str:
    """The one line that it ends with; it exits with 1."""
    assert result.exit_code == 1, (result.output, result.exception)
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert len(line) < 300
    return line


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("user create ann --role viewer --password-stdin", "an account ann already"),
        ("user create a/b --role viewer --password-stdin", "no account's name"),
        ("user create ben --role viewer --hosts w/* --password-stdin", "globs"),
        ("user delete ann", "last administrator"),
        ("user role ann viewer", "last administrator"),
        ("user delete nobody", "no account nobody"),
        ("user role nobody admin", "no account nobody"),
        ("user password nobody --password-stdin", "no account nobody"),
        ("session list nobody", "no account nobody"),
        ("session delete 0123456789", "no such session"),
        ("token delete 0123456789", "no token 0123456789"),
        ("token rotate 0123456789", "no token 0123456789"),
        ("token create --host web-*", "one host"),
        ("token create --ingest w/*", "globs"),
        ("token create --api everything", "scopes metrics, read, operate, admin"),
        ("token create --enroll --uses 0", "1 to"),
        ("token create --enroll --expires 0s", "expired already"),
        ("token create --enroll --labels host=x", "reserved"),
        ("token create --enroll --labels 1=x", "a label's name"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(command: str, says: str) -> None:
    """It must be that a command which is refused ends with 1 and says why."""
    user("ann")
    line = refused(run(*command.split(), given=PASSWORD))
    assert says in line
    assert PASSWORD not in line


@pytest.mark.parametrize(
    "command",
    [
        "user create ann --password-stdin",
        "user create ann --role god --password-stdin",
        "token create",
        "token create --host a --enroll",
        "token create --api --ingest",
        "token create --host a --uses 3",
        "token create --host a --hosts b",
        "token create --api --labels a=b",
        "token create --ingest --scope read",
        "token create --enroll --expires tomorrow",
        "token create --enroll --expires -1d",
        "token create --enroll --labels a",
        "token create --enroll --labels a=b,a=c",
        "token create --enroll --uses many",
        "token rotate 0123456789 --overlap long",
    ],
)
def test_wrong_usage_is_told_and_makes_nothing(command: str) -> None:
    """It must be that a line which cannot be meant ends with 2, before anything is made."""
    result = run(*command.split(), given=PASSWORD)
    assert result.exit_code == 2
    assert "Usage:" in result.stderr
    assert not Path("data").exists()


# Machines


@pytest.mark.parametrize(
    ("options", "kind", "hosts", "scopes", "uses", "pasted"),
    [
        ("--host web-1", "agent", ["web-1"], [], None, 'enrol "$(cat FILE)" --name web-1;'),
        ("--enroll", "enroll", ["*"], [], 1, "/install.sh && echo enrol"),
        ("--enroll --uses 3 --hosts web-*,db", "enroll", ["web-*", "db"], [], 3, "/install.sh"),
        ("--ingest", "ingest", ["*"], [], None, "remote_write:"),
        ("--ingest db-*", "ingest", ["db-*"], [], None, "remote_write:"),
        ("--ingest --hosts db-*", "ingest", ["db-*"], [], None, "remote_write:"),
        ("--ingest a --hosts b,c", "ingest", ["a", "b", "c"], [], None, "remote_write:"),
        ("--api", "api", ["*"], ["read"], None, "/api/v1/hosts"),
        ("--api metrics", "api", ["*"], ["metrics"], None, "/metrics"),
        ("--api read,operate --hosts x", "api", ["x"], ["read", "operate"], None, "curl"),
        ("--api --scope admin", "api", ["*"], ["admin"], None, "curl"),
        ("--api --scopes read --scope operate", "api", ["*"], ["read", "operate"], None, "curl"),
    ],
)
def test_a_token_is_standard_output_alone(
    options: str, kind: str, hosts: list[str], scopes: list[str], uses: int | None, pasted: str
) -> None:
    """It must be that the token can be piped into a file, and the rest is said beside it."""
    result = done("token", "create", *options.split(), "--note", "for me")
    prefix = "agt" if kind == "agent" else "mon"
    assert re.fullmatch(rf"{prefix}_[0-9a-f]{{10}}_[A-Za-z0-9]{{43}}\n", result.stdout)
    text = result.stdout.strip()
    assert text not in result.stderr
    assert pasted in result.stderr
    assert "http://127.0.0.1:8460" in result.stderr
    (found,) = json.loads(done("token", "list", "--json").stdout)
    assert (found["kind"], found["hosts"], found["scopes"]) == (kind, hosts, scopes)
    assert (found["uses_left"], found["note"], found["by"]) == (uses, "for me", ME)
    (kept,) = tokens()

    async def comes_in(office: Office) -> bool:
        return office.directory.by_token(text, time.time()) is not None

    assert inside(comes_in)
    for listing in (done("token", "list").stdout, done("token", "list", "--json").stdout):
        assert kept.id in listing
        assert kept.hash not in listing
        assert text not in listing
        assert text.rpartition("_")[2] not in listing


def test_a_token_expires_when_it_is_said() -> None:
    """It must be that only enrolment tokens expire by themselves, within a day."""
    day = 86_400
    for options, seconds in (
        ("--enroll", day),
        ("--enroll --expires 30d", 30 * day),
        ("--enroll --expires never", None),
        ("--host a", None),
        ("--api --expires 2w", 14 * day),
    ):
        done("token", "create", *options.split())
        made = tokens()[0]
        if seconds is None:
            assert made.expires is None
        else:
            assert made.expires is not None
            assert made.expires - made.created == pytest.approx(seconds, abs=60)


def test_labels_are_the_hosts() -> None:
    """It must be that labels are kept for the hosts that will come by the token."""
    done("token", "create", "--enroll", "--labels", "role=web, env=prod", "--labels", "a=b=c")
    assert tokens()[0].labels == {"role": "web", "env": "prod", "a": "b=c"}


def test_a_rotated_token_goes_on_for_a_while() -> None:
    """It must be that rotation prints the new token alone, and says how long the old one holds."""
    done("token", "create", "--host", "web-1")
    (old,) = tokens()
    result = done("token", "rotate", old.id)
    assert re.fullmatch(r"agt_\w+\n", result.stdout)
    assert f"{old.id}, holds for 24h more" in result.stderr
    kept = {each.id: each.expires for each in tokens()}
    assert kept[old.id] == pytest.approx(time.time() + 86_400, abs=60)
    (new,) = kept.keys() - {old.id}
    assert kept[new] is None
    result = done("token", "rotate", new, "--overlap", "0s")
    assert "holds no more" in result.stderr
    assert new not in {each.id for each in tokens()}


def test_a_deleted_token_is_gone() -> None:
    """It must be that a token which was ended is not in the list."""
    done("token", "create", "--api")
    (made,) = tokens()
    done("token", "delete", made.id)
    assert tokens() == []


@pytest.mark.parametrize(
    ("server", "url"),
    [
        ('public_url = "https://mon.example.com"', "https://mon.example.com"),
        ('listen = "127.0.0.1:9000"', "http://127.0.0.1:9000"),
        ('listen = "[::1]:9000"', "http://[::1]:9000"),
        ('listen = "127.0.0.1:0"', "http://127.0.0.1:PORT"),
        ('listen = "127.0.0.1:9000"\ntls = "auto"', "https://127.0.0.1:9000"),
        ('listen = "192.0.2.7:9000"', "https://192.0.2.7:9000"),
    ],
)
def test_the_line_names_the_server(server: str, url: str) -> None:
    """It must be that what is to be pasted goes where the configuration says."""
    Path("config.toml").write_text(f"[server]\n{server}\n")
    said = done("token", "create", "--host", "a").stderr
    assert f" {url}/install.sh && echo enrol" in said
    # Where the certificate is of our own making, agents must be told what to trust.
    is_pinned = url.startswith("https") and "public_url" not in server
    assert ("curl -fsSk --pinnedpubkey sha256//" in said) is is_pinned
    assert ("curl -fsS " in said) is not is_pinned


# Sessions


def test_sessions_are_listed_and_ended() -> None:
    """It must be that who is logged in can be seen and thrown out."""
    user("ann")
    user("ben", "viewer")
    assert may_log_in("ann")
    assert may_log_in("ben")
    (found,) = json.loads(done("session", "list", "BEN", "--json").stdout)
    assert (found["account"], found["address"], found["agent"]) == ("ben", "::1", "Firefox")
    assert "hash" not in found
    lines = done("session", "list").stdout.splitlines()
    assert [line.split()[1] for line in lines] == ["USER", "ann", "ben"]
    done("session", "delete", found["id"])
    left = json.loads(done("session", "list", "--json").stdout)
    assert [each["account"] for each in left] == ["ann"]


# The data directory


def test_what_is_written_is_its_owners_and_in_the_trail() -> None:
    """It must be that others can read nothing of it, and that the trail says who did it."""
    user("ann")
    assert stat.S_IMODE(Path("data").stat().st_mode) == 0o700
    for file in Path("data").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    assert not (Path("data") / "lock").exists()

    assert trail()[-1] == f"{ME} from command line: account.create ann: done"


def trail() -> list[object]:
    """What the audit trail says, oldest first."""

    async def read() -> list[object]:
        log, registry = await open_log(Path("data"))
        events, _, _ = await log.read(0, RetentionClass.AUDIT, 10)
        await log.close()
        await registry.close()
        return [event.data["text"] for event in events]

    return asyncio.run(read())


def test_a_new_authority_is_in_the_trail() -> None:
    """It must be that who replaced what agents trust is found later, or said to be unwritten."""
    done("tls", "init")
    assert not (Path("data") / "log.db").exists()
    user("ann")
    forced = done("tls", "init", "--force")
    (found,) = re.findall(r"ca\.pem, (sha256:\w{64})", forced.stdout)
    assert trail()[1:] == [f"{ME} from command line: tls.authority {found}: done"]
    done("tls", "init")
    assert len(trail()) == 2
    (Path("data") / "log.db").write_text("this is no database at all" * 99)
    unwritten = done("tls", "init", "--force")
    assert "not written to the audit trail: " in unwritten.stderr
    assert found not in unwritten.stdout


def test_what_is_no_directory_is_said() -> None:
    """It must be that a file in the place of the data is an error in words."""
    Path("data").write_text("")
    assert "cannot use the data directory" in refused(run("token", "list"))
    Path("data").unlink()
    Path("data").mkdir()
    (Path("data") / "log.db").write_text("this is no database at all" * 99)
    refused(run("token", "list"))


def test_somebody_elses_data_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """It must be that who does not own the data is told who does, and as whom to come."""
    user("ann")
    monkeypatch.setattr("monitor.commands.entry.os.geteuid", lambda: os.getuid() + 12_345)
    line = refused(run("user", "list"))
    assert f"sudo -u {ME} monitor" in line


NOBODY = 65_534


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_root_leaves_nothing_that_locks_the_server_out(tmp_path: Path) -> None:
    """It must be that what root does in another's data is that one's to use."""
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, NOBODY, NOBODY)
        process(folder, "user", "create", "ann", "--role", "admin", "--password-stdin")
        process(folder, "token", "create", "--host", "web-1")
        process(folder, "tls", "init")
        found = {file.name: file.stat().st_uid for file in Path(folder).rglob("*")}
        assert {"log.db", "instance"} <= found.keys()
        assert set(found.values()) == {NOBODY}
        with begun(folder, "user", "create", "a/b", "--role", "admin", "--password-stdin") as bad:
            assert "no account's name" in bad.communicate(timeout=30)[0]
        with begun(folder, "session", "delete", "é" * 99) as bad:
            assert "no such session" in bad.communicate(timeout=30)[0]
        with begun(folder, "token", "delete", "é" * 99) as bad:
            assert "no token \\xe9" in bad.communicate(timeout=30)[0]
        # It is not root meanwhile, so that a link which the owner put there leads nowhere new.
        (Path(folder) / "instance").unlink()
        (Path(folder) / "log.db").unlink()
        target = tmp_path / "new.db"
        (Path(folder) / "log.db").symlink_to(target)
        with begun(folder, "token", "list") as bad:
            assert "cannot be used" in bad.communicate(timeout=30)[0]
        assert bad.returncode == 1
        assert not target.exists()


def begun(folder: str | Path, *arguments: str) -> subprocess.Popen[str]:
    """The command in a process of its own."""
    started = subprocess.Popen(
        [*serving.checkout_command(), *arguments, "--data", str(folder)],
        env=serving.checkout_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert started.stdin is not None
    started.stdin.write(PASSWORD)
    started.stdin.close()
    started.stdin = None
    return started


def process(folder: str | Path, *arguments: str) -> str:
    """The same, once it went well: what it said."""
    with begun(folder, *arguments) as started:
        said, _ = started.communicate(timeout=30)
    assert started.returncode == 0, said
    return said


# Beside others


def test_two_commands_at_once_leave_an_administrator() -> None:
    """It must be that two processes do not take the last two administrators."""
    user("ann")
    user("ben")
    both = [begun("data", "user", "delete", "ann"), begun("data", "user", "role", "ben", "viewer")]
    said = [each.communicate(timeout=30)[0] for each in both]
    assert sorted(each.returncode for each in both) == [0, 1], said
    left = json.loads(done("user", "list", "--json").stdout)
    assert [each["role"] for each in left].count("admin") == 1


async def test_a_token_that_is_deleted_is_nobodys_in_the_server(tmp_path: Path) -> None:
    """It must be that what a command ends holds no more in a process that follows."""
    log, registry = await open_log(tmp_path)
    office = Office(registry, log, time.time)
    moved = asyncio.Event()
    office.directory.changed.append(moved.set)
    following = asyncio.create_task(office.directory.follow())
    said = await asyncio.to_thread(process, tmp_path, "token", "create", "--ingest", "web-*")
    text = said.splitlines()[-1]
    for holds in (True, False):
        async with asyncio.timeout(10):
            while (office.directory.by_token(text, time.time()) is not None) is not holds:
                await moved.wait()
                moved.clear()
        if holds:
            (made,) = office.directory.tokens
            assert office.directory.tokens[made].kind is TokenKind.INGEST
            await asyncio.to_thread(process, tmp_path, "token", "delete", made)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    await log.close()
    await registry.close()


@contextmanager
def server(folder: Path) -> Iterator[serving.Server]:
    """A real one, over the data in `folder/data`."""
    running = serving.start(folder)
    try:
        yield running
    finally:
        running.end()


def status(url: str) -> int:
    """What the server answers somebody without any credential."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_the_first_account_closes_a_server_that_runs(tmp_path: Path) -> None:
    """It must be that a server is open until the first account is made, and not after it."""
    with server(tmp_path) as running:
        assert status(f"{running.url}/api/v1/hosts") == 200
        process(running.data, "user", "create", "ann", "--role", "admin", "--password-stdin")
        until = time.monotonic() + 5
        while status(f"{running.url}/api/v1/hosts") != 401:
            assert time.monotonic() < until
        assert status(f"{running.url}/healthz") == 200


def test_help_is_quick() -> None:
    """It must be that the command line loads neither hashing nor databases to say what it can."""
    code = "import sys, monitor.__main__; print(*sorted(sys.modules))"
    said = subprocess.run(
        [sys.executable, "-c", code],
        env=serving.checkout_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    heavy = {"argon2", "apsw", "zxcvbn", "quart", "numpy", "cryptography", "httpx2"}
    assert not heavy & set(said.stdout.split())


def test_what_a_terminal_would_obey_is_shown_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    """It must be that nothing that somebody else has written moves the cursor of whoever looks."""
    show(("NAME", "NOTE"), [("a\x1b[2J", "b\n\u202ec")])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:] == ["a\\x1b[2J  b\\n\\u202ec"]
