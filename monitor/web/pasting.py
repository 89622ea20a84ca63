"""Lines to paste: what turns a token into an agent that runs.

The line fetches ``/install.sh`` and sends one more line after it on the same pipe, so that the
token stands in no process's arguments, and a file that was cut off does nothing.  Where the
server's certificate is known to no system the line pins its key: whoever answers in its place is
not believed, and from there on the file itself says what to believe.  It begins with a space,
which keeps it out of most shells' history.

It makes text; it knows no request and no settings.
"""

from __future__ import annotations

from monitor.access.records import Token
from monitor.core.access import TokenKind
from monitor.web.trust import Trust

FILE = '"$(cat FILE)"'
"""Stands for a token that is kept in a file."""

AS_ROOT = "$(command -v sudo) sh"
"""A shell that is root's where there is sudo, and is whoever pastes it where there is none."""


def enrolment(url: str, trust: Trust | None, made: Token, text: str = FILE) -> str:
    """The line that enrols a host and starts its agent; `made` is an agent's or for enrolment.

    `url` is where the host finds the server, `trust` what it is to know it by, and `text` the
    token or what the shell is to put in its place.
    """
    name = f" --name {made.hosts[0]}" if made.kind is TokenKind.AGENT else ""
    return piped(url, trust, f"enrol {text}{name}")


def piped(url: str, trust: Trust | None, wish: str) -> str:
    """The line that has ``/install.sh`` do something: ``upgrade``, ``uninstall``."""
    curl = "curl -fsS"
    if trust is not None and trust.is_private:
        # -k: no authority that the host knows; the pin is judged all the same.
        curl = f"curl -fsSk --pinnedpubkey {trust.key_pin}"
    return f" {{ {curl} {url}/install.sh && echo {wish}; }} | {AS_ROOT}"
