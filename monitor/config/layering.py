"""Rules of all files: each file's part is laid over the earlier ones and over the shipped set."""

from __future__ import annotations

from functools import cache

from monitor.alerting.shipped import shipped
from monitor.config.files import Complaint, Document, Origin, Part
from monitor.core.quantity import shown
from monitor.core.rules.reading import ROOT, Layer, read_layers
from monitor.core.rules.ruleset import RuleSet
from monitor.core.toml_lines import KeyPath


def rules(document: Document, complaints: list[Complaint], *, with_shipped: bool) -> RuleSet:
    """The rules that a document's files come to; complaints are added to the list."""
    parts = []
    for part in document.layers:
        if isinstance(part.value, dict):
            parts.append(part)
        else:
            sentence = f"expected tables by name, as [rules.NAME]; got {shown(part.value)}"
            complaints.append(Complaint(part.origin((ROOT,)), (ROOT,), sentence))
    if not parts and with_shipped:
        return shipped_rules()
    below = [shipped()] if with_shipped else []
    found, faults = read_layers([*below, *map(_layer, parts)])
    for fault in sorted(faults, key=lambda each: each.layer):
        number = fault.layer - len(below)
        origin = (
            parts[number].origin(fault.path)
            if number >= 0
            else Origin(shipped().origin(fault.path), document.origin(()).folder)
        )
        complaints.append(Complaint(origin, fault.path, fault.sentence))
    return found


@cache
def shipped_rules() -> RuleSet:
    """The shipped set as it is, where no file says anything of rules."""
    return read_layers([shipped()])[0]


def _layer(part: Part) -> Layer:
    def origin(path: KeyPath) -> str:
        return part.origin(path).short

    return Layer(part.value, origin)
