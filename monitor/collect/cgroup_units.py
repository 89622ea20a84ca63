"""Which control groups are units, and what people call them.

Names of container groups carry 64 hex digits, of which the first twelve are the identifier
that ``docker ps`` shows.
"""

from __future__ import annotations

import os
import re
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from monitor.collect.files import Root, read_text
from monitor.collect.tokens import label
from monitor.errors import Absent

DEEPEST = 6
"""How many steps below the top units are looked for."""

MOST_DIRECTORIES = 4_000
"""How many groups one listing looks at."""

CONTROLLERS = frozenset(("cpu", "io", "memory", "pids"))
"""Without any of these there is nothing to read."""

_CONTAINER = re.compile(
    r"(?:(docker|libpod|cri-containerd|crio|podman|nerdctl|buildkit)-)?([0-9a-f]{64})(?:\.scope)?\Z"
)
_POD = re.compile(r"pod[0-9a-f_-]{32,36}\Z")
_WITHIN = {"docker": "docker", "libpod_parent": "libpod", "kubepods": "cri", "buildkit": "buildkit"}


@dataclass(frozen=True, slots=True)
class Unit:
    """A container, a service, a machine or a user's slice.

    `path` is its place in the hierarchy and `directory` where its files are.
    """

    name: str
    path: str
    directory: str


def hierarchy(root: Root) -> str:
    """The directory of the v2 hierarchy.  Raises `Absent` where there is none to be read."""
    for name in ("fs/cgroup", "fs/cgroup/unified"):
        directory = root.sys(name)
        controllers = f"{directory}/cgroup.controllers"
        if not Path(controllers).exists():
            continue
        if not CONTROLLERS.isdisjoint(read_text(controllers).split()):
            return directory
        raise Absent("cgroup v2 has no controllers here (they belong to v1): nothing can be read")
    raise Absent("cgroup v2 is not mounted on this machine")


def find_units(top: str) -> tuple[list[Unit], bool]:
    """Every unit below `top`, sorted by path, and whether the listing was cut short."""
    found: list[Unit] = []
    names: set[str] = set()
    waiting = deque([("", 0)])
    looked = 0
    while waiting:
        path, depth = waiting.popleft()
        looked += 1
        if looked > MOST_DIRECTORIES:
            return _sorted(found), True
        for entry in _directories(f"{top}{path}"):
            inner = f"{path}/{entry}"
            name = unit_name(inner)
            if name is not None:
                name = label(os.fsencode(name))
                if name in names:
                    name = label(os.fsencode(inner.lstrip("/")))
                names.add(name)
                found.append(Unit(name, label(os.fsencode(inner)), f"{top}{inner}"))
            elif depth + 1 < DEEPEST:
                waiting.append((inner, depth + 1))
    return _sorted(found), False


def unit_name(path: str) -> str | None:
    """What people call the group of this path, or none where it is no unit."""
    parts = path.strip("/").split("/")
    last, above = parts[-1], parts[:-1]
    container = _CONTAINER.match(last)
    if container:
        runtime = container[1] or next(
            (name for part, name in _WITHIN.items() if any(p.startswith(part) for p in above)),
            "container",
        )
        return f"{runtime}-{container[2][:12]}"
    if last.endswith(".service"):
        return last
    if above and above[-1] == "machine.slice" and last.endswith(".scope"):
        return last
    if above and above[-1] == "user.slice" and last.startswith("user-"):
        return last
    if above and above[-1] in ("lxc", "lxc.payload"):
        return f"lxc-{last}"
    if last.startswith("lxc.payload."):
        return "lxc-" + last.removeprefix("lxc.payload.")
    return None


def _sorted(units: list[Unit]) -> list[Unit]:
    return sorted(units, key=lambda unit: unit.path)


def _directories(directory: str) -> list[str]:
    try:
        with os.scandir(directory) as entries:
            return sorted(e.name for e in entries if e.is_dir(follow_symlinks=False))
    except OSError:
        return []
