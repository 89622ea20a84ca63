"""Refuse to build a wheel whose pages would have no charts.

The browser packages are never committed, so a fresh clone has none until
`tools/browser_packages.py` has run; whoever installs a wheel has no way to get them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class BrowserPackages(BuildHookInterface[BuilderConfig]):
    """Looks for `static/vendor` before a wheel is built."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Raise `FileNotFoundError` where the browser packages are missing."""
        del build_data
        if version == "editable":
            return
        if not (Path(self.root) / "static" / "vendor" / ".stamp").is_file():
            raise FileNotFoundError(
                "static/vendor is missing, and a wheel must hold it:"
                " run `make dist`, or tools/browser_packages.py first"
            )
