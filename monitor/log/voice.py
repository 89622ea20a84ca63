"""How the log's file speaks of its errors."""

from __future__ import annotations

from monitor.log.damage import file_damaged
from monitor.sqlite.transactions import Voice

VOICE = Voice("the log", "log", file_damaged)
