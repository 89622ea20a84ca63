"""Refuse what no other tool refuses: markup made from strings, inline script, addresses.

- `static/js`: DOM is built by nodes, so nothing may parse a string into markup or code.
- `templates`: the content security policy forbids inline script, style and handlers; a
  page that has one is broken in the browser, and here before that.
- our own Python, tests aside: no shell, no objects from bytes, no certificate unverified.
  A line that is right all the same says why at its end: `# allowed: REASON`.
- every tracked file: no host of a package registry, and lock files with a hash for each
  file and no address.

Prints one line a fault, `path:line: what`, and exits 1 where there is any.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

LARGEST_BYTES = 4_000_000
"""A file larger than this is a picture or a recording, and is not read."""

SCRIPT_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\b(inner|outer)HTML\b|\bsrcdoc\b"), "builds DOM from a string"),
    (re.compile(r"\binsertAdjacentHTML\b"), "builds DOM from a string"),
    (re.compile(r"\b(createContextualFragment|parseFromString|setHTMLUnsafe)\b"), "parses markup"),
    (re.compile(r"\bdocument\s*\.\s*write(ln)?\b"), "writes markup"),
    (re.compile(r"(?<![\w.])eval\s*\(|(?<![\w.])Function\s*\("), "runs a string"),
    (re.compile(r"\bset(Timeout|Interval)\s*\(\s*[\"'`]"), "runs a string"),
    (re.compile(r"\bimport\s*(\(\s*)?[\"'`]https?:|\bfrom\s+[\"']https?:"), "loads from elsewhere"),
)

TEMPLATE_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"<style\b", re.IGNORECASE), "has an inline style sheet"),
    (re.compile(r"<[a-z][^>]*\sstyle\s*=", re.IGNORECASE), "has a style attribute"),
    (re.compile(r"<[a-z][^>]*\son[a-z]+\s*=", re.IGNORECASE), "has an inline handler"),
    (re.compile(r"\bjavascript:", re.IGNORECASE), "has a javascript: address"),
    (
        re.compile(
            r"<script\b(?![^>]*\ssrc\s*=)(?![^>]*\stype\s*=\s*[\"']application/json[\"'])",
            re.IGNORECASE,
        ),
        "has an inline script",
    ),
    (
        re.compile(r"<(script|link|img)\b[^>]*\s(src|href)\s*=\s*[\"']?(https?:)?//"),
        "loads from elsewhere",
    ),
    (re.compile(r"\|\s*safe\b|\bautoescape\b|\bMarkup\b"), "prints without escaping"),
)

# The linters look for dangerous calls of the package; this holds for tools and benchmarks too.
PYTHON_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\bshell\s*=\s*True\b"), "starts a shell"),
    (re.compile(r"^\s*(import|from)\s+(pickle|marshal|shelve|dill)\b", re.MULTILINE), "unpickles"),
    (re.compile(r"\byaml\s*\.\s*(unsafe_|full_)?load(_all)?\s*\("), "loads objects from YAML"),
    (re.compile(r"\bautoescape\s*=\s*False\b"), "prints without escaping"),
    (re.compile(r"\bCERT_NONE\b|\bverify\s*=\s*False\b"), "verifies no certificate"),
)

ALLOWED = re.compile(r"#\s*allowed:\s*(\S+\s+){3,}\S")
"""What stands at the end of a line of Python that is right although a rule refuses it: a reason of
some words, for whoever reviews it."""

# Written in parts, so that this file does not hold what it refuses.
REGISTRIES = (
    "pypi|.org",
    "python|hosted.org",
    "npm|js.org",
    "npm|js.com",
    "yarn|pkg.com",
    "crates|.io",
    "deb|.debian.org",
    "proxy|.golang.org",
)
REGISTRY = re.compile(
    "|".join(re.escape(host.replace("|", "")) for host in REGISTRIES), re.IGNORECASE
)

Fault = tuple[int, str]
"""A line, from 1, and what is wrong there."""


def main() -> int:
    """Check every tracked file; the exit status."""
    faults = [
        f"{path}:{line}: {what}" for path in tracked(ROOT) for line, what in faults_of(ROOT, path)
    ]
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


def tracked(root: Path) -> list[str]:
    """Every file that git tracks or would, by its path below `root`."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        check=True,
        timeout=60,
    )
    return sorted({path for path in listed.stdout.decode().split("\0") if path})


def faults_of(root: Path, path: str) -> Iterator[Fault]:
    """What is wrong in one file."""
    file = root / path
    if not file.is_file() or file.stat().st_size > LARGEST_BYTES:
        return
    try:
        text = file.read_text()
    except UnicodeDecodeError:
        return  # a picture
    yield from matches(text, [(REGISTRY, "names a package registry's host")])
    if path.startswith("static/js/"):
        yield from matches(text, SCRIPT_RULES)
    if path.startswith("templates/"):
        yield from matches(text, TEMPLATE_RULES)
    if path.endswith(".py") and path.startswith(("monitor/", "tools/", "bench/")):
        lines = text.splitlines()
        for line, what in matches(text, PYTHON_RULES):
            if ALLOWED.search(lines[line - 1]) is None:
                yield line, what
    if path == "package-lock.json":
        yield from npm_lock_faults(text)
    if path.endswith(".lock"):
        yield from pip_lock_faults(text)


def matches(text: str, rules: Iterable[tuple[re.Pattern[str], str]]) -> Iterator[Fault]:
    """Every place in `text` that a rule refuses; a rule may look across lines."""
    for pattern, what in rules:
        for found in pattern.finditer(text):
            yield text.count("\n", 0, found.start()) + 1, what


def npm_lock_faults(text: str) -> Iterator[Fault]:
    """What is wrong in a lock file of npm: an address, or a package without its hash."""
    for name, package in json.loads(text)["packages"].items():
        if "resolved" in package:
            yield 1, f"{name} carries an address"
        if name and "integrity" not in package:
            yield 1, f"{name} has no hash"


def pip_lock_faults(text: str) -> Iterator[Fault]:
    """What is wrong in a lock file of pip: an address, or a requirement without its hash."""
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        if re.search(r"https?:|^\s*-", line) and "--hash=sha256:" not in line:
            yield number, "has an address or an option"
        if "==" in line and not line.lstrip().startswith("#"):
            following = lines[number] if number < len(lines) else ""
            if "--hash=sha256:" not in following:
                yield number, "has no hash"


if __name__ == "__main__":
    sys.exit(main())
