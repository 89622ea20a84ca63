"""What every test of the room starts with."""

from __future__ import annotations

import pytest

from tests.access.house import House


@pytest.fixture
def house() -> House:
    """An empty house."""
    return House()
