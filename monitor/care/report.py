"""What the doctor says: findings in plain lines, and the same as a document for scripts."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any


class Grade(enum.Enum):
    """How a finding is to be taken.  Only what is wrong makes the whole wrong."""

    WELL = "ok"
    NOTE = "note"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: what it is, how it is, and what to do about it if anything."""

    subject: str
    grade: Grade
    text: str
    todo: str = ""


@dataclass(slots=True)
class Report:
    """All findings, and the figures that they rest on."""

    findings: list[Finding] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def is_well(self) -> bool:
        """Whether nothing is wrong."""
        return all(finding.grade is not Grade.WRONG for finding in self.findings)

    def well(self, subject: str, text: str) -> None:
        """Something is as it should be."""
        self.findings.append(Finding(subject, Grade.WELL, text))

    def note(self, subject: str, text: str, todo: str = "") -> None:
        """Something to know, which may well be meant."""
        self.findings.append(Finding(subject, Grade.NOTE, text, todo))

    def wrong(self, subject: str, text: str, todo: str) -> None:
        """Something is wrong, and this is what to do."""
        self.findings.append(Finding(subject, Grade.WRONG, text, todo))

    def lines(self) -> list[str]:
        """A line a finding, what to do below it, and the whole at last."""
        lines = []
        for finding in self.findings:
            lines.append(f"{finding.grade.value:<6}{finding.subject}: {finding.text}")
            if finding.todo:
                lines.append(f"      → {finding.todo}")
        wrong = sum(finding.grade is Grade.WRONG for finding in self.findings)
        things = "1 thing is" if wrong == 1 else f"{wrong} things are"
        return [*lines, f"{things} wrong." if wrong else "All is well."]

    def document(self) -> dict[str, Any]:
        """The same for scripts: `well`, `findings` and `figures`, numbers in base units."""
        return {
            "well": self.is_well,
            "findings": [
                {
                    "subject": finding.subject,
                    "grade": finding.grade.value,
                    "text": finding.text,
                    "todo": finding.todo or None,
                }
                for finding in self.findings
            ],
            "figures": self.figures,
        }
