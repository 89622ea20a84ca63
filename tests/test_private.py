"""Files that nobody else may read."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from monitor import private
from monitor.private import CREDENTIALS, read_private, require_private

TEXT = b"hunter2"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A private file."""
    path = tmp_path / "key"
    path.write_bytes(TEXT)
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_private(file: Path, mode: int) -> None:
    """It must be that what only its owner may use is read, without a word."""
    file.chmod(mode)
    assert read_private(file, environment={}).content == TEXT
    assert require_private(file, environment={}) is None


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o602, 0o601, 0o660, 0o666, 0o4644])
def test_open_mode(file: Path, mode: int) -> None:
    """It must be that a right of the group or of others refuses the file, without its content."""
    file.chmod(mode)
    with pytest.raises(ValueError, match=rf"can be used by others \(mode {mode:04o}\)") as refusal:
        read_private(file, environment={})
    assert "hunter2" not in str(refusal.value)


def pipe(path: Path) -> None:
    os.mkfifo(path, 0o600)


def absent(path: Path) -> None:
    assert not path.exists()


def folder(path: Path) -> None:
    path.mkdir(0o700)


def large(path: Path) -> None:
    path.write_bytes(b"x" * (private.MOST_BYTES + 1))
    path.chmod(0o600)


def terminal(path: Path) -> None:
    path.symlink_to("/dev/null")


def link(path: Path) -> None:
    target = path.with_name("target")
    target.write_bytes(TEXT)
    target.chmod(0o600)
    path.symlink_to(target)


def loop(path: Path) -> None:
    path.symlink_to(path)


def below_a_file(path: Path) -> None:
    path.parent.rmdir()
    path.parent.write_bytes(b"")


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (absent, "is not there"),
        (below_a_file, "is not there"),
        (folder, "is a folder"),
        (pipe, "is no regular file"),
        (large, "is larger than 65,536 bytes"),
        (link, "is a symbolic link: name the file that it leads to"),
        (loop, "is a symbolic link"),
        (terminal, "is a symbolic link"),
    ],
)
def test_no_file(tmp_path: Path, make: Callable[[Path], None], sentence: str) -> None:
    """It must be that what is no file of its own is refused, and that none is waited for."""
    path = tmp_path / "folder" / "key"
    path.parent.mkdir()
    make(path)
    with pytest.raises(ValueError, match=sentence):
        read_private(path, environment={})


@pytest.mark.parametrize("path", ["/dev/null", "/dev/tty", "/proc/self/mem", "a\0b"])
def test_no_device(path: str) -> None:
    """It must be that devices and their like are refused."""
    with pytest.raises(ValueError, match=r"is no|cannot be read|can be used"):
        read_private(Path(path), environment={})


def test_credentials_folder(file: Path) -> None:
    """It must be that systemd's folder excuses the mode with a warning, and its links lead on."""
    environment = {CREDENTIALS: str(file.parent)}
    file.chmod(0o444)
    found = read_private(file, environment=environment)
    assert found.content == TEXT
    assert found.warning is not None
    assert "mode 0444" in found.warning
    link = file.with_name("link")
    link.symlink_to("key")
    assert read_private(link, environment=environment) == found
    for other in ("", "/", "relative", str(file.parent / "deeper")):
        with pytest.raises(ValueError, match="can be used by others"):
            read_private(file, environment={CREDENTIALS: other})


def test_link_out_of_secrets(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It must be that a link out of a folder for secrets does not excuse what it leads to."""
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    monkeypatch.setattr(private, "SECRETS_FOLDER", secrets)
    (secrets / "..data").symlink_to(tmp_path)
    (secrets / "key").symlink_to("..data/key")
    assert read_private(secrets / "key", environment={}).content == TEXT
    file.chmod(0o644)
    with pytest.raises(ValueError, match="can be used by others"):
        read_private(secrets / "key", environment={})
    inside = secrets / "inside"
    inside.write_bytes(TEXT)
    inside.chmod(0o644)
    assert read_private(inside, environment={}).warning
    # However it is called: the file that was opened is in the folder.
    assert read_private(secrets / "..data" / "secrets" / "inside", environment={}).warning


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare")
def test_read_only_mount(tmp_path: Path) -> None:
    """It must be that a mount that nobody can write to excuses the mode, and its links lead on."""
    script = f"""
set -e
mount -t tmpfs none {tmp_path}
echo hunter2 >{tmp_path}/key
chmod 644 {tmp_path}/key
ln -s key {tmp_path}/link
if {sys.executable} -c 'from monitor.private import *; read_private(Path("{tmp_path}/key"))' \
    2>/dev/null
then exit 3; fi
mount -o remount,ro {tmp_path}
{sys.executable} -c '
from monitor.private import *
for name in ("key", "link"):
    print(read_private(Path("{tmp_path}", name)).warning is not None)'
"""
    namespace = ["unshare", "--map-root-user", "--mount"]
    if subprocess.run([*namespace, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("this machine makes no namespaces")
    ran = subprocess.run(
        [*namespace, "sh", "-c", script], check=False, capture_output=True, text=True, timeout=60
    )
    assert (ran.returncode, ran.stdout) == (0, "True\nTrue\n"), ran.stderr
