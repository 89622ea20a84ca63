"""Commands run where there is nothing but what a test puts there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands.desk import Desk


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """An empty working folder with a data directory, and no configuration of the machine."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("monitor.config.settings.SYSTEM_CONFIG", tmp_path / "none" / "config.toml")
    monkeypatch.setattr(
        "monitor.commands.channelwork.SYSTEM_CONFIG", tmp_path / "none" / "config.toml"
    )
    return Desk(tmp_path)
