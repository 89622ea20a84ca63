"""A rule that somebody writes and has not saved: TOML, laid over the shipped rules, to a `Rule`.

What a backtest takes, on the command line, a page or the API.  Only the tables ``[rules.NAME]`` of
a text count, so that a whole file of the configuration will do.
"""

from __future__ import annotations

import re
import tomllib

from monitor.alerting.shipped import shipped
from monitor.core.rules.model import Rule
from monitor.core.rules.reading import ROOT, Layer, read_layers
from monitor.core.toml_lines import KeyPath, Outline, locate
from monitor.errors import InputError, excerpt

LONGEST_CHARACTERS = 64 * 1024
"""Of one text."""

MOST_TOLD = 10
"""Faults that one error tells."""

_PLACE = re.compile(r" \(at (?:line ([0-9]+), column [0-9]+|end of document)\)\Z")


def drafts(text: str, field: str = "toml", name: str = "line ") -> list[Rule]:
    """The rules of a text, one at least; what it says of a shipped one is laid over that.

    Raises `InputError` of code ``bad_rule`` with every fault, each behind `name` and its line.
    """
    if len(text) > LONGEST_CHARACTERS:
        detail = f"a rule has at most {LONGEST_CHARACTERS:,} characters"
        raise InputError(detail, code="bad_rule", field=field, limit=LONGEST_CHARACTERS)
    outline = locate(text)
    if outline.faults:
        place, sentence = outline.faults[0]
        raise InputError(f"{name}{place.line}: {sentence}", code="bad_rule", field=field)
    try:
        tables = tomllib.loads(text).get(ROOT)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        what, line = _told(str(error), text)
        detail = f"{name}{line}: this is no TOML: {what}"
        raise InputError(detail, code="bad_rule", field=field) from None
    if not isinstance(tables, dict) or not tables:
        detail = "there is no rule in it; one is a table [rules.NAME]"
        raise InputError(detail, code="bad_rule", field=field)

    def origin(path: KeyPath) -> str:
        return f"{name}{_line(outline, path)}"

    found, faults = read_layers([shipped(), Layer(tables, origin)])
    told = [
        f"{origin(fault.path)}: {'.'.join(str(part) for part in fault.path)}: {fault.sentence}"
        for fault in faults
    ]
    if told:
        more = [f"and {len(told) - MOST_TOLD} more"] if len(told) > MOST_TOLD else []
        raise InputError("\n".join((*told[:MOST_TOLD], *more)), code="bad_rule", field=field)
    rules = [rule for rule in found if rule.name in tables]
    if not rules:
        detail = "the rule is turned off: enabled = false"
        raise InputError(detail, code="bad_rule", field=field)
    return rules


def draft(text: str, field: str = "toml") -> Rule:
    """The one rule of a text; raises as `drafts`, also where there are several."""
    found = drafts(text, field)
    if len(found) > 1:
        names = excerpt(", ".join(rule.name for rule in found))
        raise InputError(f"one rule at a time; here are {names}", code="bad_rule", field=field)
    return found[0]


def _told(complaint: str, text: str) -> tuple[str, int]:
    """What `tomllib` complains of, and the line, which it says at the end."""
    found = _PLACE.search(complaint)
    if found is None:
        return excerpt(complaint), 1
    line = int(found[1]) if found[1] else text.count("\n", 0, -1) + 1
    return excerpt(complaint[: found.start()]), line


def _line(outline: Outline, path: KeyPath) -> int:
    """The line of a path, or of the nearest that it lies in."""
    for length in range(len(path), 0, -1):
        if place := outline.places.get(path[:length]):
            return place.line
    return 1
