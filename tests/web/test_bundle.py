"""The agent's wheel: it must be that ..."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import monitor
from monitor.errors import StartError
from monitor.web import bundle

FORBIDDEN = ("numpy", "quart", "pydantic", "structlog", "jinja2", "apsw", "hypercorn", "psutil")


@pytest.fixture(scope="module")
def made() -> bundle.Bundle:
    return bundle.bundle()


@pytest.fixture(scope="module")
def names(made: bundle.Bundle) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(made.content)) as archive:
        return archive.namelist()


def test_the_same_installation_makes_the_same_bytes(made: bundle.Bundle) -> None:
    """It must be that a checksum that was written down yesterday holds today."""
    assert bundle.bundle() == made
    assert hashlib.sha256(made.content).hexdigest() == made.sha256


def test_it_holds_the_agent_and_nothing_of_the_server(names: list[str]) -> None:
    assert "monitor/agent/__main__.py" in names
    assert "monitor/collect/cpu.py" in names
    rooms = {name.split("/")[1] for name in names if name.startswith("monitor/")}
    assert not rooms & {"web", "store", "log", "access", "ingest", "stream", "commands", "static"}
    tops = {name.split("/")[0] for name in names}
    assert tops == {"monitor", "msgpack", "websockets", bundle._INFO}
    assert len(names) == len(set(names))


def test_nothing_in_it_is_compiled(names: list[str]) -> None:
    """It must be that it runs on any processor, and on any Python that is new enough."""
    assert {Path(name).suffix for name in names if bundle._INFO not in name} == {".py"}


def test_it_says_whose_it_is(names: list[str]) -> None:
    licences = {name.removeprefix(f"{bundle._INFO}/") for name in names if "licenses/" in name}
    assert "licenses/LICENSE" in licences
    assert any(name.startswith("licenses/websockets/") for name in licences)
    assert any(name.startswith("licenses/msgpack/") for name in licences)


def test_it_is_a_wheel_whose_record_is_right(made: bundle.Bundle) -> None:
    with zipfile.ZipFile(io.BytesIO(made.content)) as archive:
        record = archive.read(f"{bundle._INFO}/RECORD").decode()
        listed = {row[0]: row[1:] for row in csv.reader(record.splitlines())}
        assert set(listed) == set(archive.namelist())
        for name, (digest, size) in listed.items():
            if name.endswith("RECORD"):
                continue
            content = archive.read(name)
            found = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
            assert digest == f"sha256={found.decode()}", name
            assert int(size) == len(content)
        assert (
            f"Version: {monitor.__version__}\n" in archive.read(f"{bundle._INFO}/METADATA").decode()
        )
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_every_module_of_it_runs_where_there_is_nothing_else(
    made: bundle.Bundle, tmp_path: Path
) -> None:
    """It must be that a host with Python and no packages has all that the agent imports."""
    with zipfile.ZipFile(io.BytesIO(made.content)) as archive:
        archive.extractall(tmp_path)
    program = f"""
import importlib, pathlib, sys
root = pathlib.Path({str(tmp_path)!r})
sys.path.insert(0, str(root))
optional = {{"monitor.collect.portable", "monitor.collect.portable_processes"}}  # not on Linux
for path in sorted(root.glob("monitor/**/*.py")):
    name = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
    if name not in optional:
        importlib.import_module(name)
assert not [n for n in {FORBIDDEN!r} if n in sys.modules]
outside = [m.__file__ for m in sys.modules.values()
           if getattr(m, "__file__", None) and "site-packages" in m.__file__]
assert not outside, outside
"""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program],
        env={},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    helped = subprocess.run(
        [sys.executable, "-P", "-s", "-S", "-m", "monitor.agent", "--help"],
        env={"PYTHONPATH": str(tmp_path)},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert helped.returncode == 0, helped.stderr
    assert "--server" in helped.stdout


def test_imports_are_followed_into_functions_and_past_checkers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It must be that what is imported late comes along, and what is for types does not."""
    files = {
        "__init__.py": "",
        "room/__init__.py": "",
        "room/a.py": "import typing\nif typing.TYPE_CHECKING:\n    from monitor.types import T\n"
        "else:\n    import monitor.other\n\ndef f():\n    from monitor.late import deep\n",
        "late/__init__.py": "",
        "late/deep.py": "from monitor import single\nimport json\n",
        "single.py": "",
        "other.py": "",
        "types.py": "",
        "apart.py": "",
    }
    for name, text in files.items():
        path = tmp_path / "monitor" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(bundle, "_FOLDER", tmp_path / "monitor")
    assert bundle.closure("monitor.room") == {
        "monitor",
        "monitor.room",
        "monitor.room.a",
        "monitor.late",
        "monitor.late.deep",
        "monitor.single",
        "monitor.other",
    }
    (tmp_path / "monitor/room/b.py").write_text("from . import a\n")
    with pytest.raises(StartError, match="relative"):
        bundle.closure("monitor.room")


def test_a_package_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "PACKAGES", ("no-such-package",))
    with pytest.raises(StartError, match="no-such-package is not installed"):
        bundle.bundle()
