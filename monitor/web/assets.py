"""Templates and static files, wherever this program was installed.

In a wheel both lie inside the package; in a checkout beside it.  Static files are read once
at start into a fixed map, so that no path from outside ever reaches the file system.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path

import monitor
from monitor.errors import StartError

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}

NEEDED = ("vendor/uplot/uPlot.esm.js", "vendor/uplot/uPlot.min.css")
"""Browser packages without which the pages are not whole."""

LEAST_GZIP_BYTES = 512
"""Below this, compressing costs more than it saves."""


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file as it is served."""

    body: bytes
    gzipped: bytes | None
    content_type: str
    etag: str


@dataclass(frozen=True, slots=True)
class Assets:
    """The folder of the templates, and every static file by its path below /static/."""

    templates: Path
    files: dict[str, StaticFile]


def folder(name: str) -> Path:
    """A folder that came with this program.  Raises `StartError` where it did not."""
    package = Path(monitor.__file__).parent
    for place in (package / name, package.parent / name):
        if place.is_dir():
            return place
    raise StartError(f"the folder {name}/ is missing from this installation")


def load() -> Assets:
    """Read every static file.  Raises `StartError` where the installation is not whole."""
    root = folder("static")
    files = {
        path.relative_to(root).as_posix(): _static_file(path)
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }
    missing = [name for name in NEEDED if name not in files]
    if missing:
        raise StartError(
            f"browser packages are missing ({', '.join(missing)}): "
            "run `make run` once in a checkout, or install the wheel"
        )
    return Assets(folder("templates"), files)


def _static_file(path: Path) -> StaticFile:
    body = path.read_bytes()
    content_type = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0]
    smaller = gzip.compress(body, 9, mtime=0) if len(body) >= LEAST_GZIP_BYTES else None
    if smaller is not None and len(smaller) >= len(body):
        smaller = None
    etag = hashlib.sha256(body).hexdigest()[:20]
    return StaticFile(body, smaller, content_type or "application/octet-stream", f'"{etag}"')
