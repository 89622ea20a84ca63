"""What ``[scrape.NAME]`` may say: whom to poll, how often and within which bounds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ScrapeConfig:
    """One table of them."""
