"""Ask whether what the server depends on has known vulnerabilities, and look for dangerous calls.

pip-audit asks a service about each locked requirement, and ends well where the service knows
none of them, as behind a mirror that carries packages and nothing else.  That is no answer, and
is told as none.

Exit status: 0 nothing was found, 1 something was, 3 not everything could be asked about.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

LOCK = "requirements.lock"

ASKING_SECONDS = 300
"""How long the service may take over all of them."""

CLEAN, FOUND, NOT_ASKED = 0, 1, 3


@dataclass(frozen=True)
class Verdict:
    """What came of asking."""

    asked: int = 0
    """Requirements that the service knows and told about."""
    not_asked: list[str] = field(default_factory=list)
    found: list[str] = field(default_factory=list)
    """A line for each vulnerability."""

    @property
    def status(self) -> int:
        """The exit status that this means."""
        if self.found:
            return FOUND
        return CLEAN if self.asked and not self.not_asked else NOT_ASKED


def main() -> int:
    """Look and ask; the exit status."""
    dangerous = subprocess.run(
        [sys.executable, "-m", "bandit", "-q", "-c", "pyproject.toml", "-r", "monitor", "tools"],
        cwd=ROOT,
        check=False,
        timeout=ASKING_SECONDS,
    )
    print(f"dangerous calls: {'some' if dangerous.returncode else 'none'}")
    verdict = judged(asked())
    for line in verdict.found:
        print(line)
    known = f"{len(verdict.found)} known in {verdict.asked} of the requirements in {LOCK}"
    if verdict.asked:
        print(f"vulnerabilities: {known}")
    if verdict.not_asked or not verdict.asked:
        names = ", ".join(verdict.not_asked) or "any requirement"
        print(
            "vulnerabilities: NOT ASKED. No service that knows of vulnerabilities could be reached"
            f" from here about {names}. This says nothing about them; ask from elsewhere.",
            file=sys.stderr,
        )
    return FOUND if dangerous.returncode else verdict.status


def asked() -> str:
    """What pip-audit prints as JSON, or nothing where it cannot ask."""
    command = ["--requirement", LOCK, "--require-hashes", "--disable-pip", "--format", "json"]
    try:
        answer = subprocess.run(
            [sys.executable, "-m", "pip_audit", "--progress-spinner", "off", *command],
            cwd=ROOT,
            check=False,
            capture_output=True,
            text=True,
            timeout=ASKING_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return ""
    return answer.stdout


def judged(answer: str) -> Verdict:
    """What pip-audit's answer says, and of what it says nothing."""
    try:
        requirements = json.loads(answer)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return Verdict()
    told = [each for each in requirements if "skip_reason" not in each]
    return Verdict(
        asked=len(told),
        not_asked=[each["name"] for each in requirements if "skip_reason" in each],
        found=[
            f"{each['name']} {each['version']}: {fault['id']}"
            f" (fixed in {', '.join(fault['fix_versions']) or 'no version'})"
            for each in told
            for fault in each["vulns"]
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
