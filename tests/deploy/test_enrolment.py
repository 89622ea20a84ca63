"""It must be that one pasted line makes a host of ours out of one that has nothing but Python."""

from __future__ import annotations

import http.server
import os
import re
import shlex
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from monitor.tls.contexts import context
from monitor.tls.folder import kept
from monitor.web import bundle
from tests import serving
from tests.deploy import hosts
from tests.elsewhere import Elsewhere

LINE = re.compile(r"^ \{ curl .* \| \$\(command -v sudo\) sh$", re.MULTILINE)


@dataclass(frozen=True)
class House:
    """A server that hosts can enrol at."""

    folder: Path
    server: serving.Server
    asking: hosts.Asking

    def line(self, *words: str, more: str = "") -> tuple[str, str]:
        """A token, and the line that was printed for it; `more` are words for the installer."""
        token, said = hosts.printed(self.folder, "token", "create", *words)
        (found,) = LINE.findall(said)
        assert found.count(token) == 1
        return token, found.replace("; } | ", f"{more}; }} | ")


def built(folder: Path, address: str, tls: str) -> House:
    """A server at an address, with the authority that it made."""
    with socket.create_server((address, 0)) as found:
        port = found.getsockname()[1]
    place = f"{address}:{port}"
    (folder / "config.toml").write_text(f'[server]\nlisten = "{place}"\ntls = "{tls}"\n')
    hosts.ours(folder, "token", "create", "--api")  # so that it may listen
    server = serving.start(folder, "--config", "config.toml", "--listen", place)
    return House(folder, server, hosts.Asking(folder, server.url))


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """On loopback, over TLS of its own making."""
    made = built(tmp_path_factory.mktemp("house"), "127.0.0.1", "auto")
    yield made
    assert made.server.end() == 0, made.server.said()


def is_over(pid: int) -> bool:
    """Whether a process has ended, even where nobody has asked for its status."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


def ended(pid: int) -> None:
    """Let an agent end as it should."""
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 10
    while not is_over(pid) and time.monotonic() < deadline:
        time.sleep(0.05)


def test_a_whole_host_enrols_by_the_line_as_it_was_printed(
    elsewhere: Elsewhere, tmp_path: Path
) -> None:
    """It must be that root's line makes a user, a service's folders and a host that is up.

    The host is another network, from which no registry can be reached, with files of its own.
    """
    house = built(tmp_path, elsewhere.address, "auto")
    token, line = house.line("--host", "edge-1")
    place = tmp_path / "host"
    place.mkdir()
    script = (
        f"{hosts.HOST_OF_ITS_OWN}\n"
        f"env -i PATH={hosts.PATH} HOME=/root sh -c {shlex.quote(line)}\n"
        "cat /run/awoooi-monitor-agent.pid\n"
        "stat -c '%U %a %n' /etc/awoooi-monitor/* /var/lib/awoooi-monitor-agent\n"
    )
    pid = 0
    try:
        done = subprocess.run(
            elsewhere.line("unshare", "--mount", "sh", "-c", script, "sh", str(place)),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode and "mount:" in done.stderr:
            pytest.skip(f"a host of its own cannot be made here: {done.stderr}")
        assert done.returncode == 0, done.stderr
        first, *modes = done.stdout.splitlines()
        pid = int(first)
        assert house.asking.until("edge-1")["version"] is not None
        status = Path(f"/proc/{pid}/status").read_text()
        user = re.search(r"^Uid:\s+(\d+)\s+(\d+)", status, re.MULTILINE)
        assert user is not None
        assert "0" not in user.groups(), "it runs as root"
        own = "awoooi-monitor-agent"
        assert modes == [
            "root 644 /etc/awoooi-monitor/agent.env",
            f"{own} 600 /etc/awoooi-monitor/agent.token",
            f"{own} 700 /var/lib/awoooi-monitor-agent",
        ]
        for secret in ("cmdline", "environ"):
            assert token.encode() not in Path(f"/proc/{pid}/{secret}").read_bytes()
        assert token not in done.stderr
        assert not Path("/opt/awoooi-monitor/agent").exists(), "it was no host of its own"
    finally:
        if pid:
            ended(pid)
        house.server.end()


def test_a_user_enrols_goes_on_after_an_upgrade_and_leaves(house: House, tmp_path: Path) -> None:
    """It must be that an enrolment token is enough, and that running it again harms nothing."""
    folder = tmp_path / "agent"
    _, line = house.line("--enroll", more=f" --name user-1 --prefix {folder}")
    done = hosts.pasted(line, home=tmp_path)
    assert done.returncode == 0, done.stderr
    try:
        house.asking.until("user-1")
        names = {each.name for each in folder.iterdir()}
        assert names == {"agent", "agent.env", "agent.log", "agent.pid", "agent.token", "spool"}
        before = (folder / "agent.pid").read_text()
        (folder / "agent.toml").write_text('[agent]\nlabels = { mine = "yes" }\n')
        done = hosts.pasted(f"{folder}/agent/upgrade", home=tmp_path)
        assert done.returncode == 0, done.stderr
        after = (folder / "agent.pid").read_text()
        assert after != before
        assert is_over(int(before))
        assert house.asking.until("user-1", time.time())["labels"].get("mine") == "yes"
    finally:
        leave = re.sub(r"echo enrol \S+ --name \S+", "echo uninstall", line)
        done = hosts.pasted(leave, home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [each.name for each in folder.iterdir()] == ["agent.toml"], "what is mine stays"


def test_whoever_answers_in_the_servers_place_is_not_believed(house: House, tmp_path: Path) -> None:
    """It must be that the line runs nothing that comes from another key."""
    _, line = house.line("--host", "edge-2", more=f" --prefix {tmp_path}/agent")

    class Other(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(f"touch {tmp_path}/taken\nenrol() {{ echo $1; }}\n".encode())

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    made = kept(tmp_path / "other", ("127.0.0.1",), time.time())
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Other)
    server.socket = context(made.server).wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        there = house.server.url
        done = hosts.pasted(
            line.replace(there, f"https://127.0.0.1:{server.server_port}"), home=tmp_path
        )
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert "does not match pinned public key" in done.stderr
    assert not (tmp_path / "taken").exists()
    assert not (tmp_path / "agent").exists()
    assert "edge-2" not in house.asking.hosts()


def fetched(house: House) -> str:
    """The installer's text."""
    authority = str(house.folder / "data/tls/ca.pem")
    line = ["curl", "-fsS", "--cacert", authority, f"{house.server.url}/install.sh"]
    return subprocess.run(line, check=True, capture_output=True, text=True, timeout=20).stdout


def installed(house: House, text: str, tmp_path: Path, *words: str) -> str:
    """What the installer says where it must refuse; nothing is left of it."""
    file = tmp_path / "install.sh"
    file.write_text(text)
    done = subprocess.run(
        ["sh", str(file), *words, "--prefix", f"{tmp_path}/agent"],
        env={"PATH": hosts.PATH, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode != 0
    folder = tmp_path / "agent"
    assert not folder.exists() or not [e for e in folder.iterdir() if not e.name.endswith(".new")]
    return done.stderr


def test_an_agent_that_is_not_the_servers_is_not_installed(house: House, tmp_path: Path) -> None:
    text = fetched(house)
    wrong = re.sub(r"(?m)^SHA256='..", "SHA256='00", text)
    if wrong == text:
        wrong = re.sub(r"(?m)^SHA256='..", "SHA256='11", text)
    said = installed(house, wrong, tmp_path, "enrol", "agt_x")
    assert f"/{bundle.NAME} is not what install.sh says it is" in said
    other = text.replace(f"WHEEL='{bundle.NAME}'", "WHEEL='nothing.whl'")
    assert "cannot fetch" in installed(house, other, tmp_path, "enrol", "agt_x")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("enrol",), "enrol needs a token"),
        (("enrol", "token; rm"), "nothing that install.sh knows"),
        (("enrol", "agt_$(id)"), "what was given is no token"),
        (("enrol", "agt_x", "--name", "a b"), "a host's name has letters"),
        (("enrol", "--token-file", "/nowhere"), "cannot read the token"),
        (("upgrade",), "there is no agent here to upgrade"),
        (("explode",), "say enrol TOKEN, upgrade or uninstall"),
    ],
)
def test_what_cannot_be_meant_is_told(
    house: House, tmp_path: Path, words: tuple[str, ...], says: str
) -> None:
    said = installed(house, fetched(house), tmp_path, *words)
    assert says in said


def test_a_python_that_is_too_old_is_told(house: House, tmp_path: Path) -> None:
    """It must be that the line says which Python was found, and what is wanted."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("cat", "chmod", "dirname", "id", "mkdir", "rm", "sh"):
        (folder / name).symlink_to(f"/bin/{name}")
    python = folder / "python3"
    python.write_text("#!/bin/sh\necho 'is Python 3.9' >&2; exit 1\n")
    python.chmod(0o755)
    file = tmp_path / "install.sh"
    file.write_text(fetched(house))
    line = ["sh", str(file), "enrol", "agt_x", "--prefix", str(tmp_path / "agent")]
    done = subprocess.run(
        line,
        env={"PATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert "needs Python 3.11 or newer" in done.stderr
    assert "python3 is Python 3.9" in done.stderr
    python.unlink()
    done = subprocess.run(
        line, env={"PATH": str(folder)}, capture_output=True, text=True, timeout=30, check=False
    )
    assert "there is no python3" in done.stderr


def test_a_token_that_goes_into_a_file_is_not_said_beside_it(house: House) -> None:
    """It must be that the line then names the file, since standard error goes into logs."""
    done = subprocess.run(
        [
            *serving.checkout_command(),
            *("token", "create", "--host", "quiet-1", "--config", "config.toml", "--data", "data"),
        ],
        cwd=house.folder,
        env=serving.checkout_environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout.strip() not in done.stderr
    assert '&& echo enrol "$(cat FILE)" --name quiet-1; }' in done.stderr
