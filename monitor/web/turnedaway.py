"""Who was turned away, as the fleet page says it: what happened, and what to do about it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from monitor.fleet.fleet import Refusal
from monitor.web.format import duration

VERSION_CHARACTERS = 32
"""Of a version that is shown in a sentence."""


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """One of them: the sentence is `before`, the host's name, `after`; then `advice`.

    `times` says how often and when; `may_adopt` that the machine could be accepted.
    """

    host: str
    before: str
    after: str
    advice: str
    times: str
    may_adopt: bool = False

    @property
    def text(self) -> str:
        """All of it, for text pages."""
        parts = (f"{self.before}{self.host}{self.after}", self.advice, f"({self.times})")
        return " ".join(part for part in parts if part)


def turned_away(refusal: Refusal, now: float, own_host: str) -> TurnedAway:
    """What is said of somebody who was turned away."""
    before, after, advice, may_adopt = _said(refusal, own_host)
    ago = duration(max(0.0, now - refusal.last))
    came = "once" if refusal.count == 1 else f"{refusal.count} times"
    where = f"from {refusal.address}, " if refusal.address else ""
    times = f"{where}{came}, {'' if refusal.count == 1 else 'last '}{ago} ago"
    return TurnedAway(refusal.host, before, after, advice, times, may_adopt)


def _said(refusal: Refusal, own_host: str) -> tuple[str, str, str, bool]:
    match refusal.code:
        case "host_taken" if refusal.host == own_host:
            after = ", which is the host that this server runs on."
            return "Another machine calls itself ", after, "Give it another name.", False
        case "host_taken" if refusal.is_copy:
            advice = (
                "One is a copy of the other: remove agent-id from the copy's spool, and give it"
                " another name."
            )
            after = " with the same agent's identity, and was turned away."
            return "Another machine calls itself ", after, advice, False
        case "host_taken":
            advice = (
                "If the machine was replaced or set up anew, accept it; else give it another name."
            )
            return "Another machine calls itself ", " and was turned away.", advice, True
        case "schema_version":
            version = refusal.info.get("version", "")[:VERSION_CHARACTERS]
            which = f" ({version})" if version else ""
            after = f"{which} speaks another protocol than this server."
            advice = "Upgrade the server first, then its agents."
            return "The agent of ", after, advice, False
        case "bad_time" | "too_old":
            return "The clock of ", _clock(refusal), "Have it set its clock by the network.", False
        case _:
            return "", f" was turned away: {refusal.detail}.", "", False


def _clock(refusal: Refusal) -> str:
    skew = refusal.skew_seconds
    if not math.isfinite(skew) or abs(skew) < 1:
        return f" is not to be believed: {refusal.detail}."
    return f" is {duration(abs(skew))} {'behind' if skew > 0 else 'ahead'}: its frames are refused."
