"""TOML to frozen settings; each complaint names file, line, path and what was expected.

The roof: each room owns its own small Config class, and they are gathered here.  Below this
nobody reads TOML, the environment or flags.  `files` reads documents and merges them,
`checking` holds them against the rooms' classes (the only user of pydantic), `settings`
joins the two, `effective` prints what came out.
"""

from monitor.config.effective import render
from monitor.config.settings import RELOADED, Settings, default_data_dir, find, load

__all__ = ["RELOADED", "Settings", "default_data_dir", "find", "load", "render"]
