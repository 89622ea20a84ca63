"""The first line of a message: what a lock screen shows, in at most 120 characters.  Pure.

One alert is told by its rule's summary, or where it has none by the words for its metric; what its
evidence knows and the summary does not say is added while there is room: what is free, when it is
full, who is to blame.  Several are counted, and the first hosts named.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from monitor.core.holding import HOST_UNREACHABLE
from monitor.core.messages import Alert
from monitor.notify import evidence
from monitor.notify.channel import Notification, Told
from monitor.notify.wording import (
    cut,
    harmless,
    length_words,
    parsed,
    style_of,
    value_words,
)

FIRST_LINE_CHARACTERS = 120
"""What a phone shows of a message without being unlocked, and a mail's subject without a fold."""

SUMMARY_CHARACTERS = 500

HOST_CHARACTERS = 40
WORD_CHARACTERS = 60
"""Of an attribute, a process, a rule: the rest stands in the message itself."""

MOST_NAMED = 8
"""Hosts that a first line names; fewer, where they are long."""

_WORDS = {"critical": "CRIT", "warning": "WARN", "info": "INFO"}
_RANKS = {"info": 0, "warning": 1, "critical": 2}
RESOLVED = "OK"
DRILL = "DRILL"

_PHRASES = {
    "monitor.host.down": "unreachable",
    "monitor.host.silence": "silent for {value}",
    "monitor.host.clock.skew": "clock is off by {value}",
    "monitor.channel.failing": "channel {channel} is failing",
    "monitor.config.reload_failed": "configuration could not be reloaded",
    "monitor.data.utilization": "monitor's own disk {value} full",
    "monitor.data.free": "monitor's own disk has {value} free",
    "monitor.store.lag": "monitor's store is {value} behind",
    "monitor.fleet.down_ratio": "{value} of all hosts unreachable: the monitor's own network?",
    "system.filesystem.utilization": "{mountpoint} {value} full",
    "system.filesystem.inodes.utilization": "{mountpoint} {value} of inodes used",
    "system.filesystem.readonly": "{mountpoint} became read-only",
    "system.cpu.utilization": "CPU {value} busy",
    "system.memory.utilization": "memory {value} used",
    "system.paging.utilization": "swap {value} used",
}
"""What is said of a metric where the rule has no summary; ``{value}`` and the attributes' names."""

_PLURALS = {HOST_UNREACHABLE: ("hosts unreachable", "hosts reachable again")}

_VERBS = frozenset({"is", "are"})

_IN_SHORT = (("above ", "> "), ("below ", "< "))
"""Limits in words, as a lock screen has room for."""


def first_line(notification: Notification) -> str:
    """What happened, to whom, how bad: one line of at most `FIRST_LINE_CHARACTERS`."""
    told = notification.told
    drill = f"{DRILL} " if notification.is_drill or any(t.alert.is_drill for t in told) else ""
    if not told:
        return f"{drill}{notification.left_out} alerts"
    if len(told) == 1 and not notification.left_out:
        one = told[0]
        line = _over(one) if one.is_resolved else _firing(one, len(drill), notification)
    else:
        line = _several(told, notification.left_out, FIRST_LINE_CHARACTERS - len(drill))
    return cut(drill + line, FIRST_LINE_CHARACTERS)


def severity_word(severity: str) -> str:
    """A severity as a first line writes it."""
    return _WORDS.get(severity, "WARN")


def line_of(one: Told) -> str:
    """One alert among others, in a line of its own."""
    if one.is_resolved:
        return cut(_over(one), FIRST_LINE_CHARACTERS)
    held = f" ({one.held} held)" if one.held else ""
    said = f"{severity_word(one.alert.severity)} {sentence(one.alert)}{_unsaid(one.alert)}"
    return cut(said, FIRST_LINE_CHARACTERS - len(held)) + held


def sentence(alert: Alert) -> str:
    """What is the matter, and of which host, which comes first where it can."""
    host = host_words(alert.host)
    said = harmless(alert.summary, SUMMARY_CHARACTERS)
    if not said:
        return f"{host} {_phrase(alert)}"
    # "/var of db-1 is 97 % full" is a sentence for pages; a lock screen has room for less.
    what, of_host, rest = _parted(said, alert.host)
    if of_host:
        what = what.removeprefix("The ").replace("A ", "a ", 1)
        verb, _, more = rest.partition(" ")
        return f"{host} {what} {more if verb in _VERBS and more else rest}"
    names_host = alert.host in re.split(r"[^A-Za-z0-9._-]+", said)
    if names_host:
        return said.replace(alert.host, host, 1)
    return f"{host} {said}"


def _unsaid(alert: Alert) -> str:
    """The attributes that a summary does not name: without them several alerts look the same."""
    said = harmless(alert.summary, SUMMARY_CHARACTERS)
    words = [
        f"{harmless(name, WORD_CHARACTERS)}={text}"
        for name, value in sorted(alert.attributes.items())
        if said and (text := harmless(value, WORD_CHARACTERS)) and text not in said
    ]
    return f" ({cut(', '.join(words), WORD_CHARACTERS)})" if words else ""


def _parted(said: str, host: str) -> tuple[str, str, str]:
    """What a sentence says of which thing of a host, and the rest; else nothing after it."""
    for of_host in (f" of {host} ", f" on {host} "):
        what, found, rest = said.partition(of_host)
        if found and rest:
            return what, found, rest
    return said, "", ""


def host_words(host: str) -> str:
    """A host's name; a long one is cut."""
    return cut(harmless(host, 4 * HOST_CHARACTERS), HOST_CHARACTERS)


def _phrase(alert: Alert) -> str:
    key = parsed(alert.metric)
    style = alert.unit or style_of(alert.metric)
    value = value_words(alert.value, style)
    words = {name: harmless(text, WORD_CHARACTERS) for name, text in alert.attributes.items()}
    template = _PHRASES.get(key.name)
    if template is not None:
        try:
            return template.format_map({**words, "value": value})
        except KeyError:
            pass  # without the attribute that the words want, it is told as any other
    attributes = " ".join(words[name] for name in sorted(words))
    # The way back is for the message: a first line has no room for it.
    limit = harmless(alert.limit, WORD_CHARACTERS).partition(", until")[0]
    for long, short in _IN_SHORT:
        if limit.startswith(long):
            limit = short + limit.removeprefix(long)
    if limit and limit[0] not in "<>=":
        limit = f"({limit})"
    name = harmless(key.name or alert.rule, WORD_CHARACTERS)
    return " ".join(part for part in (name, attributes, value, limit) if part)


def _firing(one: Told, used: int, notification: Notification) -> str:
    alert = one.alert
    line = f"{severity_word(alert.severity)} {sentence(alert)}{_unsaid(alert)}"
    held = f" ({one.held} held)" if one.held else ""
    room = FIRST_LINE_CHARACTERS - used - len(held)
    for extra in _extras(alert):
        if len(line) + len(extra) + 2 <= room:
            line = f"{line}, {extra}"
    if notification.is_repeat:
        again = f", for {length_words(notification.at - one.fired_at)}"
        line += again if len(line) + len(again) <= room else ""
    return cut(line, room) + held


def _extras(alert: Alert) -> Iterable[str]:
    """What the evidence adds to the summary, the most urgent first."""
    said = alert.summary.lower()
    name = parsed(alert.metric).name
    if name.startswith("system.filesystem.") and "inode" not in name:
        free = evidence.related(alert, "system.filesystem.usage", "free")
        if free is not None and not any(word in said for word in ("free", "left")):
            yield f"{value_words(free, 'bytes')} free"
    seconds = evidence.full_in(alert)
    if seconds is not None and not any(word in said for word in ("full in", "will be full")):
        yield f"full in ~{length_words(_roughly(seconds))}"
    kind = evidence.kind_of(alert.metric)
    for culprit in evidence.culprits(alert, kind)[:1] if kind else ():
        if culprit.name and culprit.name not in alert.summary:
            words = f" {culprit.value_words}" if culprit.value is not None else ""
            yield harmless(culprit.name, WORD_CHARACTERS) + words
    yield from evidence.units(alert)[:1]


def _roughly(seconds: float) -> float:
    """To one unit: nobody knows a forecast to the second."""
    for size in (86_400, 3_600, 60):
        if seconds >= 2 * size:
            return round(seconds / size) * size
    return round(seconds)


def _over(one: Told) -> str:
    alert = one.alert
    where = " ".join(
        harmless(alert.attributes[name], WORD_CHARACTERS) for name in sorted(alert.attributes)
    )
    # Where the summary's words are clear from the attribute alone, as of a disk's, it suffices.
    is_plain = parsed(alert.metric).name.startswith("system.filesystem.") and where
    rule = "" if is_plain else harmless(alert.rule, WORD_CHARACTERS)
    what = " ".join(part for part in (host_words(alert.host), rule, where) if part)
    line = f"{RESOLVED} {what}: resolved after {length_words(one.resolved_at - one.fired_at)}"
    style = alert.unit or style_of(alert.metric)
    if alert.peak is not None and style != "flag":
        line += f", peak {value_words(alert.peak, style)}"
    if alert.reason:
        line += f" ({harmless(alert.reason, WORD_CHARACTERS)})"
    return line


def _several(told: Sequence[Told], left_out: int, room: int) -> str:
    count = len(told) + left_out
    firing = [one for one in told if not one.is_resolved]
    held = sum(one.held for one in firing)
    tail = f" ({held} held)" if held else ""
    rules = {one.alert.rule for one in told}
    rule = next(iter(rules)) if len(rules) == 1 else ""
    plural = _PLURALS.get(rule)
    if firing:
        worst = max((one.alert.severity for one in firing), key=lambda each: _RANKS.get(each, 1))
        word = severity_word(worst)
    else:
        word = RESOLVED
    if firing and len(firing) < len(told):
        over = len(told) - len(firing)
        head = f"{word} {count - over} firing, {over} resolved"
    elif plural:
        head = f"{word} {count} {plural[0] if firing else plural[1]}"
    elif firing:
        head = f"{word} {count} alerts"
    else:
        head = f"{RESOLVED} {count} alerts resolved"
    if not plural:
        of = harmless(rule, WORD_CHARACTERS) if rule else f"{len(rules)} rules"
        head += f" of {of}"
    return f"{head}: {_named(firing or told, count, room - len(head) - 2 - len(tail))}{tail}"


def _named(told: Sequence[Told], count: int, room: int) -> str:
    """The first hosts, each once, as many as there is room for."""
    hosts = list(dict.fromkeys(one.alert.host for one in told))
    named: list[str] = []
    fits: Callable[[list[str], str], bool] = lambda so_far, more: (  # noqa: E731 - it reads as one
        len(", ".join([*so_far, more])) + 3 <= room
    )
    for host in hosts[:MOST_NAMED]:
        words = host_words(host)
        if named and not fits(named, words):
            break
        named.append(words)
    is_all = len(named) == len(hosts) and len(told) == count
    return ", ".join(named) + ("" if is_all else ", …")
