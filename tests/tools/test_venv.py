"""How the environment is made, on a small checkout of its own: it must be that ..."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving import ROOT

MAIN = """
import sys

def main() -> int:
    print(sys.version_info[:2], *sys.argv[1:])
    return 7
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with nothing to install, at a path with a space in it."""
    root = tmp_path / "a checkout"
    (root / "monitor").mkdir(parents=True)
    (root / "monitor" / "__main__.py").write_text(MAIN)
    (root / "tools").mkdir()
    shutil.copy(ROOT / "tools" / "venv.sh", root / "tools")
    for lock in ("requirements.lock", "requirements-dev.lock"):
        (root / lock).write_text("# nothing\n")
    return root


def make(checkout: Path, kind: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", str(checkout / "tools" / "venv.sh"), kind],
        env={**os.environ, "PYTHON": "", **environment},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_it_is_made_once_and_again_only_when_a_lock_changes(checkout: Path, tmp_path: Path) -> None:
    first = make(checkout, "dev", PYTHON=sys.executable)
    assert first.returncode == 0, first.stderr
    assert "making .venv" in first.stderr
    assert "installing from requirements-dev.lock" in first.stderr

    for kind in ("dev", "run"):
        again = make(checkout, kind)
        assert (again.returncode, again.stdout, again.stderr) == (0, "", ""), kind

    (checkout / "requirements.lock").write_text("# still nothing\n")
    changed = make(checkout, "run")
    assert "making" not in changed.stderr
    assert "installing from requirements.lock" in changed.stderr

    said = subprocess.run(
        [str(checkout / ".venv" / "bin" / "monitor"), "serve", "--listen", "a b"],
        cwd=tmp_path,
        env={},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert said.stdout == f"{sys.version_info[:2]} serve --listen a b\n"
    assert said.returncode == 7


def test_an_interpreter_that_will_not_do_is_one_clear_line(checkout: Path) -> None:
    refused = make(checkout, "run", PYTHON="/no/such/python")
    assert refused.returncode == 1
    assert refused.stderr == "PYTHON=/no/such/python is not a Python 3.11 or newer.\n"
    assert not (checkout / ".venv").exists()


def test_no_interpreter_at_all_is_one_clear_line(checkout: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bin"
    bare.mkdir()
    for name in ("dirname", "mkdir", "cat", "sed", "sha256sum"):
        found = shutil.which(name)
        assert found is not None
        (bare / name).symlink_to(found)
    refused = make(checkout, "run", PATH=str(bare))
    assert refused.returncode == 1
    assert refused.stderr == (
        "No Python 3.11 or newer was found: install one, or name one with"
        " PYTHON=/path/to/python3.\n"
    )
