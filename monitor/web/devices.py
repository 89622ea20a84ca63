"""What a browser says it is, in the words of whoever looks for one of their devices in a list."""

from __future__ import annotations

_BROWSERS = (
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
"""In this order: each of them says also the names of those below it."""

_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


def device(agent: str) -> str:
    """``Firefox on Linux``; what is no browser keeps its own words."""
    browser = _first(agent, _BROWSERS)
    system = _first(agent, _SYSTEMS)
    if not agent.startswith("Mozilla/") or not browser:
        return agent
    return f"{browser} on {system}" if system else browser


def _first(agent: str, known: tuple[tuple[str, str], ...]) -> str:
    return next((words for mark, words in known if mark in agent), "")
