"""How the browser packages reach static/vendor: it must be that ..."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools import browser_packages
from tools.browser_packages import SERVED


def installed(folder: Path) -> Path:
    for package, paths in SERVED.items():
        for path in paths:
            file = folder / package / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{package} {path}")
    return folder


def test_only_what_is_served_is_copied(tmp_path: Path) -> None:
    packages, vendor = installed(tmp_path / "packages"), tmp_path / "static" / "vendor"
    (packages / "uplot" / "README.md").write_text("not served")
    browser_packages.copy_served(packages, vendor, "made from this")
    assert browser_packages.standing(vendor, "made from this")
    copied = {str(path.relative_to(vendor)) for path in vendor.rglob("*") if path.is_file()}
    assert copied == {".stamp"} | {
        f"{package}/{Path(path).name}" for package, paths in SERVED.items() for path in paths
    }


def test_another_lock_or_a_lost_file_means_installing_anew(tmp_path: Path) -> None:
    packages, vendor = installed(tmp_path / "packages"), tmp_path / "vendor"
    assert not browser_packages.standing(vendor, "one")
    browser_packages.copy_served(packages, vendor, "one")
    assert not browser_packages.standing(vendor, "another")
    (vendor / "uplot" / "uPlot.esm.js").unlink()
    assert not browser_packages.standing(vendor, "one")
    browser_packages.copy_served(packages, vendor, "one")
    assert browser_packages.standing(vendor, "one")


def test_a_package_that_lacks_a_file_leaves_what_was_there(tmp_path: Path) -> None:
    packages, vendor = installed(tmp_path / "packages"), tmp_path / "vendor"
    browser_packages.copy_served(packages, vendor, "one")
    (packages / "uplot" / "LICENSE").unlink()
    with pytest.raises(SystemExit, match=r"the package uplot has no file LICENSE"):
        browser_packages.copy_served(packages, vendor, "two")
    assert browser_packages.standing(vendor, "one")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_every_package_is_fixed_to_one_version_and_served() -> None:
    wanted = json.loads((browser_packages.ROOT / "package.json").read_text())["dependencies"]
    locked = json.loads((browser_packages.ROOT / "package-lock.json").read_text())["packages"]
    assert set(wanted) == set(SERVED)
    for package, version in wanted.items():
        assert locked[f"node_modules/{package}"]["version"] == version


def test_a_misspelt_word_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert browser_packages.main(["lokc"]) == 2
    assert "usage" in capsys.readouterr().err


def test_packages_of_tests_are_installed_again_when_the_lock_names_another_version(
    tmp_path: Path,
) -> None:
    assert not browser_packages.installed_for_tests(tmp_path)
    locked = json.loads((browser_packages.ROOT / "package-lock.json").read_text())["packages"]
    for name in ("undici",):
        (tmp_path / name).mkdir()
        package = tmp_path / name / "package.json"
        package.write_text(json.dumps({"version": locked[f"node_modules/{name}"]["version"]}))
        assert browser_packages.installed_for_tests(tmp_path)
        package.write_text(json.dumps({"version": "0.0.1"}))
        assert not browser_packages.installed_for_tests(tmp_path)
