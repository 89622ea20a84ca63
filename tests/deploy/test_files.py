"""What machines are set up with: it must be that ..."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from monitor.agent import config as agent_config
from monitor.config import load
from tests import serving

DEPLOY = serving.ROOT / "deploy"
UNITS = ("awoooi-monitor.service", "awoooi-monitor-agent.service")
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()

HARDENED = {
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "ProtectHome": "read-only",
    "PrivateTmp": "yes",
    "ProtectKernelTunables": "yes",
    "ProtectKernelModules": "yes",
    "ProtectControlGroups": "yes",
    "RestrictNamespaces": "yes",
    "RestrictSUIDSGID": "yes",
    "LockPersonality": "yes",
    "MemoryDenyWriteExecute": "yes",
    "CapabilityBoundingSet": "",
    "AmbientCapabilities": "",
    "SystemCallArchitectures": "native",
}


def keys(unit: str) -> dict[str, list[str]]:
    """Every key of a unit, with its values in order."""
    found: dict[str, list[str]] = {}
    for line in (DEPLOY / unit).read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_gives_no_rights_away(unit: str) -> None:
    found = keys(unit)
    assert {name: found[name][0] for name in HARDENED} == HARDENED
    assert found["SystemCallFilter"][:2] == ["@system-service", "~@privileged @resources"]
    assert "root" not in found["User"]
    assert found["StateDirectoryMode"] == ["0700"]
    assert "MemoryMax" in found
    assert "78" in found["RestartPreventExitStatus"]
    # All processes and the clock are what they look at, so these would blind them.
    assert not {"ProtectProc", "ProcSubset", "ProtectClock", "PrivateNetwork"} & set(found)


def test_the_agents_token_is_read_by_systemd_alone() -> None:
    found = keys("awoooi-monitor-agent.service")
    assert found["DynamicUser"] == ["yes"]
    assert found["LoadCredential"] == ["token:/etc/awoooi-monitor/agent.token"]


@pytest.mark.parametrize("unit", UNITS)
def test_units_start_what_the_installers_put_there(unit: str) -> None:
    program = keys(unit)["ExecStart"][0].split()[0]
    installer = "agent-install.sh" if "agent" in unit else "install.sh"
    text = (DEPLOY / installer).read_text()
    assert re.search(r"^UNIT=(\S+)$", text, re.MULTILINE)[1] == unit  # type: ignore[index]
    folder, _, name = program.partition("/agent/" if "agent" in unit else "/server/bin/")
    assert folder == "/opt/awoooi-monitor"
    assert folder in text
    assert name in text


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
@pytest.mark.parametrize("unit", UNITS)
def test_systemd_understands_a_unit_and_finds_it_safe(unit: str, tmp_path: Path) -> None:
    program = keys(unit)["ExecStart"][0].split()[0]
    text = (DEPLOY / unit).read_text().replace(program, "/bin/true")
    (tmp_path / unit).write_text(text)
    line = ["systemd-analyze", "verify", str(tmp_path / unit)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    line = ["systemd-analyze", "security", "--offline=true", "--threshold=30"]
    done = subprocess.run(
        [*line, str(tmp_path / unit)], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stdout


# Containers


def stages() -> dict[str, str]:
    """The Dockerfile's stages by name."""
    text = DOCKERFILE.replace("\\\n", " ")
    found = re.split(r"^FROM (\S+) AS (\S+)\n", text, flags=re.MULTILINE)[1:]
    assert set(found[::3]) == {"python:3.11-slim"}, "from nowhere else"
    return dict(zip(found[1::3], found[2::3], strict=True))


def test_images_are_made_of_what_is_there() -> None:
    """It must be that whatever is copied is in the repository, or made by `make dist`."""
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().split()
    copied = re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
    assert copied
    for line in copied:
        for source in line.split()[:-1]:
            assert f"!{source}" in ignored, source
            assert source == "dist/awoooi_monitor-*.whl" or (serving.ROOT / source).is_file()
    assert ignored[0] == "*"
    assert not re.search(r"https?://|index-url|pypi", DOCKERFILE)


@pytest.mark.parametrize("stage", ["server", "agent"])
def test_images_run_as_nobody_in_particular(stage: str) -> None:
    lines = stages()[stage].splitlines()
    (user,) = [line for line in lines if line.startswith("USER ")]
    assert user == "USER 10001:10001"
    assert not [line for line in lines if line.startswith(("RUN", "ADD"))], "built beforehand"
    assert [line for line in lines if line.startswith("VOLUME ")]
    assert [line for line in lines if line.startswith('ENTRYPOINT ["/opt/')]


def test_the_servers_image_is_asked_how_it_is() -> None:
    assert re.search(r"^HEALTHCHECK .*healthcheck\.py\"\]$", stages()["server"], re.MULTILINE)


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return found


@pytest.mark.parametrize("service", ["server", "agent"])
def test_services_are_confined(service: str) -> None:
    found = compose()["services"][service]
    assert found["read_only"] is True
    assert found["cap_drop"] == ["ALL"]
    assert found["security_opt"] == ["no-new-privileges:true"]
    assert found["user"] == "10001:10001"
    assert "privileged" not in found
    assert found["mem_limit"]
    assert found["build"]["target"] == service
    assert f"AS {service}\n" in DOCKERFILE
    mounts = [each for each in found["volumes"] if isinstance(each, dict)]
    assert all(each["read_only"] for each in mounts)
    assert not any("docker.sock" in str(each) for each in found["volumes"])


def test_what_compose_configures_can_be_meant(tmp_path: Path) -> None:
    """It must be that both embedded configurations, and the image's, are read without complaint."""
    configs = {name: each["content"] for name, each in compose()["configs"].items()}
    for name, text in (
        ("server", configs["server"]),
        ("image", (DEPLOY / "container.toml").read_text()),
    ):
        path = tmp_path / f"{name}.toml"
        path.write_text(text)
        settings = load(path)
        assert settings.server.listen == "0.0.0.0:8460"
        assert str(settings.server.data_dir) == "/var/lib/awoooi-monitor"
        assert f"{settings.server.data_dir}\n" in stages()["server"]
    path = tmp_path / "agent.toml"
    path.write_text(configs["agent"].replace("/host", str(tmp_path)))
    options = {"server": ("--server", "https://server:8460")}
    assert agent_config.load(path, options).collect.root == tmp_path
    assert compose()["secrets"]["agent"]["file"] == "./agent.secret"


def test_the_agents_packages_are_the_locked_ones() -> None:
    """It must be that what an agent's image gets is what the tests ran with."""
    lock = (serving.ROOT / "requirements.lock").read_text()
    wanted = (DEPLOY / "agent-requirements.txt").read_text()
    assert re.findall(r"^([a-z]+)==", wanted, re.MULTILINE) == ["msgpack", "psutil", "websockets"]
    for piece in re.split(r"\n(?=[a-z])", wanted)[1:]:
        head = piece.split()[0]
        locked = re.search(rf"^{re.escape(head)} .*?(?=^[a-z]|\Z)", lock, re.MULTILINE | re.DOTALL)
        assert locked is not None, f"{head} is another version; run the lines of docs/deploy.md"
        hashes = set(re.findall(r"sha256:[0-9a-f]{64}", piece))
        assert hashes
        assert hashes == set(re.findall(r"sha256:[0-9a-f]{64}", locked[0]))


def healthy(port: int) -> int:
    return subprocess.run(
        [sys.executable, str(DEPLOY / "healthcheck.py")],
        env={"MONITOR_PORT": str(port)},
        timeout=30,
        check=False,
    ).returncode


def test_a_server_that_lives_is_healthy_and_one_that_does_not_is_not(tmp_path: Path) -> None:
    server = serving.start(tmp_path)
    port = int(server.url.rpartition(":")[2])
    try:
        assert healthy(port) == 0
    finally:
        server.end()
    assert healthy(port) == 1


# The server's installer


def dist(folder: Path) -> Path:
    """What `make dist` makes, with a wheel that is none."""
    folder.mkdir()
    for name in ("install.sh", "awoooi-monitor.service"):
        shutil.copy(DEPLOY / name, folder)
    (folder / "requirements.lock").write_text("x==1\n")
    (folder / "awoooi_monitor-9.9.9-py3-none-any.whl").write_bytes(b"PK")
    lines = [
        f"{hashlib.sha256(each.read_bytes()).hexdigest()}  {each.name}\n"
        for each in sorted(folder.iterdir())
    ]
    (folder / "SHA256SUMS").write_text("".join(lines))
    return folder


@pytest.mark.parametrize("damaged", ["requirements.lock", "awoooi-monitor.service", "wheel"])
def test_files_that_are_not_what_was_made_are_not_installed(damaged: str, tmp_path: Path) -> None:
    """It must be that the checksums are looked at before anything is done to the machine."""
    folder = dist(tmp_path / "dist")
    if damaged == "wheel":
        damaged = "awoooi_monitor-9.9.9-py3-none-any.whl"
    with (folder / damaged).open("ab") as file:
        file.write(b"x")
    said = refused(folder)
    assert "nothing was installed" in said
    assert f"{damaged}: FAILED" in said


def test_checksums_that_are_not_the_operators_are_not_believed(tmp_path: Path) -> None:
    folder = dist(tmp_path / "dist")
    assert "SHA256SUMS has the checksum" in refused(folder, "--sha256", "0" * 64)
    (folder / "awoooi_monitor-9.9.8-py3-none-any.whl").write_bytes(b"PK")
    assert "several wheels" in refused(folder)
    (folder / "awoooi_monitor-9.9.8-py3-none-any.whl").unlink()
    (folder / "SHA256SUMS").write_text("")
    assert "SHA256SUMS does not know" in refused(folder)
    (folder / "SHA256SUMS").unlink()
    assert "has no SHA256SUMS" in refused(folder)


def refused(folder: Path, *words: str) -> str:
    """What the installer says where it must refuse."""
    done = subprocess.run(
        ["sh", str(folder / "install.sh"), *words],
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    return done.stdout + done.stderr


@pytest.mark.parametrize("name", ["install.sh", "agent-install.sh"])
@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_installers_are_plain_sh(name: str, shell: str) -> None:
    subprocess.run([shell, "-n", str(DEPLOY / name)], check=True, timeout=10)
    text = (DEPLOY / name).read_text()
    assert not re.search(r"^\s*(local|function|source|declare) |\[\[ |<<<", text, re.MULTILINE)
