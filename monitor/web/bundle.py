"""The agent as one file: a wheel made from this very installation, which hosts fetch from here.

It holds the modules that `monitor.agent` imports, found by reading them, and the pure Python of
the two packages that it needs, with their licences; nothing in it is compiled, so any Python of
`LEAST_PYTHON` or newer runs it where it was unpacked, on a host that reaches no registry.  The
same installation makes the same bytes.

It knows files and imports.  Who asks for the wheel, and how it is installed, it does not know.
"""

from __future__ import annotations

import ast
import base64
import hashlib
import io
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import monitor
from monitor.errors import StartError

NAME = f"awoooi_monitor_agent-{monitor.__version__}-py3-none-any.whl"
"""The wheel's file name."""

LEAST_PYTHON = "3.11"

ROOM = "monitor.agent"
"""What the wheel is for: all of this package, and whatever it imports of ours."""

PACKAGES = ("msgpack", "websockets")
"""What the agent needs beside the standard library; both work without their compiled parts."""

LICENCES = ("licen", "copying", "notice", "authors")
"""How files begin that say whose a package is."""

_INFO = f"awoooi_monitor_agent-{monitor.__version__}.dist-info"
_FOLDER = Path(monitor.__file__).parent
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest instant that a zip can say: the file tells nothing of when it was made."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """The wheel, and its SHA-256 as hexadecimal digits."""

    content: bytes
    sha256: str


def bundle() -> Bundle:
    """Make the wheel.  Takes a few tenths of a second.

    Raises `StartError` where a package that it is to hold is not installed.
    """
    files = {name: path.read_bytes() for name, path in _modules()}
    for package in PACKAGES:
        files.update(_package(package))
    files[f"{_INFO}/METADATA"] = _METADATA.encode()
    files[f"{_INFO}/WHEEL"] = _WHEEL.encode()
    files[f"{_INFO}/RECORD"] = _record(files)
    content = _zipped(files)
    return Bundle(content, hashlib.sha256(content).hexdigest())


def closure(room: str = ROOM) -> frozenset[str]:
    """Every module of ours that a package imports, itself included, in functions too.

    Imports that stand below ``if TYPE_CHECKING`` are nothing to a program that runs.
    """
    found: set[str] = set()
    left = [room, *(f"{room}.{path.stem}" for path in _path(room).parent.glob("*.py"))]
    while left:
        name = left.pop()
        path = _path(name)
        if name in found or not path.is_file():
            continue
        found.add(name)
        left.extend(_parents(name))
        left.extend(_imported(ast.parse(path.read_bytes()), name))
    return frozenset(name for name in found if not name.endswith(".__init__"))


def _modules() -> Iterator[tuple[str, Path]]:
    """Every file of ours: its place in the wheel, and where it lies."""
    for name in sorted(closure()):
        path = _path(name)
        yield f"monitor/{path.relative_to(_FOLDER).as_posix()}", path
    licence = next(
        (path for path in _licences("awoooi-monitor") if "licen" in path.name.lower()),
        _FOLDER.parent / "LICENSE",
    )
    if licence.is_file():
        yield f"{_INFO}/licenses/LICENSE", licence


def _path(name: str) -> Path:
    """Where a module of ours lies, or would."""
    parts = name.split(".")[1:]
    folder = _FOLDER.joinpath(*parts)
    return folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")


def _parents(name: str) -> Iterator[str]:
    parts = name.split(".")
    return (".".join(parts[:length]) for length in range(1, len(parts)))


def _imported(tree: ast.AST, name: str) -> Iterator[str]:
    """What of ours a module imports; what is imported from it may be a module as well."""
    for node in _nodes(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise StartError(f"{name} imports by a relative name, which is not followed")
            module = node.module or ""
            names = [module, *(f"{module}.{alias.name}" for alias in node.names)]
        else:
            continue
        yield from (each for each in names if each.partition(".")[0] == "monitor")


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """A tree without what is there for checkers of types alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) in _CHECKING:
            for other in node.orelse:
                yield other
                yield from _nodes(other)
            continue
        yield node
        yield from _nodes(node)


_CHECKING = {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def _package(name: str) -> Mapping[str, bytes]:
    """The pure Python of an installed package, and its licence."""
    try:
        installed = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        raise StartError(f"the package {name} is not installed, and the agent needs it") from None
    held = {
        str(file): Path(str(file.locate())).read_bytes()
        for file in installed.files or ()
        if file.parts[0] == name and file.suffix == ".py"
    }
    if not held:
        raise StartError(f"the files of the package {name} are not to be found")
    for path in _licences(name):
        held[f"{_INFO}/licenses/{name}/{path.name}"] = path.read_bytes()
    return held


def _licences(name: str) -> Iterator[Path]:
    """The files by which an installed distribution says whose it is."""
    try:
        files = metadata.distribution(name).files or ()
    except metadata.PackageNotFoundError:
        return
    for file in files:
        if ".dist-info" in str(file) and file.name.lower().startswith(LICENCES):
            yield Path(str(file.locate()))


def _record(files: Mapping[str, bytes]) -> bytes:
    """The wheel's list of its files, each with its checksum."""
    lines = []
    for name in sorted(files):
        digest = base64.urlsafe_b64encode(hashlib.sha256(files[name]).digest()).rstrip(b"=")
        lines.append(f"{name},sha256={digest.decode()},{len(files[name])}")
    return "\n".join([*lines, f"{_INFO}/RECORD,,", ""]).encode()


def _zipped(files: Mapping[str, bytes]) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # as on every Unix, where the next line means a mode
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, files[name])
    return held.getvalue()


_METADATA = f"""\
Metadata-Version: 2.1
Name: awoooi-monitor-agent
Version: {monitor.__version__}
Summary: The agent of Awoooi Monitor, with all that it needs
License: MIT
Requires-Python: >={LEAST_PYTHON}
"""

_WHEEL = """\
Wheel-Version: 1.0
Generator: awoooi-monitor
Root-Is-Purelib: true
Tag: py3-none-any
"""
