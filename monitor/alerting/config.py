"""What ``[defaults]`` may say: whether the shipped rules hold."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DefaultsConfig:
    """What is on without being written."""

    rules: bool = True
    """The shipped set of rules, each of which ``[rules.NAME]`` may change or turn off."""
