"""The wheel, installed where there is nothing else: it must be that ..."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import urllib.request
import zipfile
from pathlib import Path

import pytest

from tests import serving

STEP_SECONDS = 100
"""How long one step may take: installing is the longest, with a cold cache on a slow line."""

WATCH = """
import os, sys

def _watch(event, arguments):
    if event == "open" and isinstance(arguments[0], str):
        path = os.path.abspath(arguments[0])
        if path == {root!r} or path.startswith({root!r} + os.sep):
            sys.stderr.write("REACHED INTO THE CHECKOUT: " + path + "\\n")
            sys.stderr.flush()
            os._exit(99)

sys.addaudithook(_watch)
"""
"""Put into the environment as sitecustomize: to open a file of the checkout ends the process."""


def run(*line: str | Path) -> str:
    done = subprocess.run(
        [str(part) for part in line],
        cwd=serving.ROOT,
        capture_output=True,
        text=True,
        timeout=STEP_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{line[0]} failed:\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ".")
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the locked dependencies, the wheel and nothing else."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    python = folder / "bin" / "python"
    # Nothing is compiled beforehand: the server compiles what it imports, and no more.
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-compile")
    run(*pip, "--require-hashes", "--requirement", serving.ROOT / "requirements.lock")
    run(*pip, "--no-deps", "--no-index", wheel)
    packages = next((folder / "lib").glob("python3.*/site-packages"))
    (packages / "sitecustomize.py").write_text(WATCH.format(root=str(serving.ROOT)))
    return folder


def test_the_wheel_holds_pages_static_files_and_browser_packages(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert len(names) == len(set(names)), "a file stands twice"
    held = set(names)
    for folder in ("templates", "static"):
        for file in (serving.ROOT / folder).rglob("*"):
            if file.is_file() and not file.name.startswith("."):
                assert f"monitor/{file.relative_to(serving.ROOT)}" in held
    assert "monitor/static/vendor/uplot/uPlot.esm.js" in held
    assert "monitor/static/vendor/uplot/LICENSE" in held
    assert "monitor/py.typed" in held
    assert {name.split("/")[0].partition("-")[0] for name in held} == {"monitor", "awoooi_monitor"}


@pytest.mark.timeout(240)
def test_the_wheel_alone_serves_from_another_folder_with_an_empty_environment(
    environment: Path, tmp_path: Path
) -> None:
    monitor = environment / "bin" / "monitor"
    server = serving.start(tmp_path / "elsewhere", command=[str(monitor)], environment={})
    try:
        script = "/static/vendor/uplot/uPlot.esm.js"
        with urllib.request.urlopen(server.url + script, timeout=10) as reply:
            served = reply.read()
        with urllib.request.urlopen(server.url + "/install.sh", timeout=10) as reply:
            said = dict(re.findall(r"^([A-Z0-9]+)='(.*)'$", reply.read().decode(), re.MULTILINE))
        with urllib.request.urlopen(f"{server.url}/{said['WHEEL']}", timeout=10) as reply:
            agent = reply.read()
        request = urllib.request.Request(server.url + "/", headers={"Accept": "text/html"})
        with urllib.request.urlopen(request, timeout=10) as reply:
            page = reply.read().decode()
    except OSError as fault:
        pytest.fail(f"{fault}; the server said:\n{server.said()}")
    finally:
        status = server.end()
    assert "REACHED INTO THE CHECKOUT" not in server.said()
    assert status == 0, server.said()
    assert served == (serving.ROOT / "static/vendor/uplot/uPlot.esm.js").read_bytes()
    assert page.lstrip().lower().startswith("<!doctype html>")
    assert hashlib.sha256(agent).hexdigest() == said["SHA256"], "it hands out its own agent"


@pytest.mark.timeout(240)
def test_every_module_of_the_wheel_comes_from_the_wheel(environment: Path, tmp_path: Path) -> None:
    program = (
        "import importlib, pkgutil, monitor\n"
        "for found in pkgutil.walk_packages(monitor.__path__, 'monitor.'):\n"
        "    if not found.name.endswith('__main__'):\n"
        "        print(importlib.import_module(found.name).__file__)\n"
    )
    done = subprocess.run(
        [str(environment / "bin" / "python"), "-c", program],
        cwd=tmp_path,
        env={},
        capture_output=True,
        text=True,
        timeout=STEP_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    files = done.stdout.split()
    assert files
    assert all(Path(file).is_relative_to(environment) for file in files)
