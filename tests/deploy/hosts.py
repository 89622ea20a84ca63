"""Hosts to enrol: what they have is a shell, curl and Python, and nothing of ours."""

from __future__ import annotations

import json
import os
import pty
import ssl
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

from tests import serving

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
APPEAR_SECONDS = 20.0
LOOK_SECONDS = 0.1

HOST_OF_ITS_OWN = """
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs "$1"
for each in etc opt var/lib var/log; do
    own=$1/$each
    mkdir -p "$own/upper" "$own/work"
    mount -t overlay overlay -o "lowerdir=/$each,upperdir=$own/upper,workdir=$own/work" /$each
done
mount -t tmpfs tmpfs /run
"""
"""Makes a mount namespace a host of its own: what is written to it stays in `$1`, a folder."""


def ours(folder: Path, *words: str) -> str:
    """A command of ours in a folder with `config.toml` and `data`; its standard output."""
    done = subprocess.run(
        [*serving.checkout_command(), *words, "--config", "config.toml", "--data", "data"],
        cwd=folder,
        env=serving.checkout_environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def printed(folder: Path, *words: str) -> tuple[str, str]:
    """The same of a command whose standard output is a terminal: what stood on it, and beside."""
    screen, terminal = pty.openpty()
    try:
        done = subprocess.run(
            [*serving.checkout_command(), *words, "--config", "config.toml", "--data", "data"],
            cwd=folder,
            env=serving.checkout_environment(),
            stdout=terminal,
            stderr=subprocess.PIPE,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return os.read(screen, 4_096).decode().strip(), done.stderr
    finally:
        os.close(screen)
        os.close(terminal)


def pasted(line: str, *, home: Path) -> subprocess.CompletedProcess[str]:
    """What comes of a line in a shell that knows nothing."""
    return subprocess.run(
        ["sh", "-c", line],
        env={"PATH": PATH, "HOME": str(home)},
        cwd=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class Asking:
    """The server's API, with a token."""

    def __init__(self, folder: Path, url: str) -> None:
        self._url = url
        self._token = ours(folder, "token", "create", "--api")
        authority = folder / "data/tls/ca.pem"
        self._context = (
            ssl.create_default_context(cafile=str(authority)) if authority.exists() else None
        )

    def hosts(self) -> dict[str, dict[str, Any]]:
        """The fleet by name."""
        request = urllib.request.Request(
            f"{self._url}/api/v1/hosts", headers={"Authorization": f"Bearer {self._token}"}
        )
        with urllib.request.urlopen(request, timeout=10, context=self._context) as reply:
            return {each["host"]: each for each in json.load(reply)}

    def until(self, name: str, after: float = 0.0) -> dict[str, Any]:
        """A host once it is up and has a frame of after that instant."""
        deadline = time.monotonic() + APPEAR_SECONDS
        while time.monotonic() < deadline:
            found = self.hosts().get(name)
            if found is not None and found["status"] == "up" and (found["at"] or 0) > after:
                return found
            time.sleep(LOOK_SECONDS)
        raise AssertionError(f"{name} did not appear: {self.hosts()}")
