"""The archive that a backup is: a plain tar of exactly three members, read strictly.

First ``manifest.json``, of a fixed length, then ``log.db`` and ``series.db``.  Any tar can list
and unpack it; we read back only what we write ourselves: regular files under these names, in
this order, with the sizes and digests that the manifest states.  Nothing in it is compressed,
so that nothing grows when it is unpacked: chunks are compressed already.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
from pathlib import Path
from typing import Annotated, BinaryIO

import msgspec

from monitor.care.files import FILES
from monitor.errors import StartError, excerpt

FORMAT = 1
"""Of the archive; another one is refused."""

MANIFEST = "manifest.json"

MANIFEST_BYTES = 4_096
"""Its length: it is written before the digests that it states are known, and once more after."""

BLOCK_BYTES = 512
PIECE_BYTES = 1024 * 1024

_Hex64 = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
_Hex32 = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{32}\Z")]


class Member(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file: bytes, SHA-256, the schema that it has, and which store it is."""

    size: Annotated[int, msgspec.Meta(gt=0, lt=2**60)]
    sha256: _Hex64
    schema: Annotated[int, msgspec.Meta(gt=0, lt=2**31)]
    instance: _Hex32


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an archive holds.  `made` is when, in unix seconds; `version` is the program's."""

    format: int
    version: str
    made: float
    members: dict[str, Member]

    def encoded(self) -> bytes:
        """As the archive holds it: JSON, filled up with spaces."""
        text = msgspec.json.format(msgspec.json.encode(self), indent=2)
        return text.ljust(MANIFEST_BYTES - 1) + b"\n"


class Writer:
    """Writes an archive into an open file, member after member."""

    def __init__(self, file: BinaryIO, made: float) -> None:
        self._file = file
        self._made = made
        self._file.write(self._header(MANIFEST, MANIFEST_BYTES))
        self._file.write(bytes(MANIFEST_BYTES))

    def add(self, name: str, path: Path) -> tuple[int, str]:
        """Append a file; its size and SHA-256."""
        digest = hashlib.sha256()
        with path.open("rb") as source:
            size = os.fstat(source.fileno()).st_size
            self._file.write(self._header(name, size))
            left = size
            while left:
                piece = source.read(min(left, PIECE_BYTES))
                if not piece:
                    raise OSError(f"{path} became shorter while it was read")
                digest.update(piece)
                self._file.write(piece)
                left -= len(piece)
        self._file.write(bytes(-size % BLOCK_BYTES))
        return size, digest.hexdigest()

    def finish(self, manifest: Manifest) -> None:
        """Write the end, and the manifest in its place; all of it is on the disk on return."""
        self._file.write(bytes(2 * BLOCK_BYTES))
        self._file.seek(BLOCK_BYTES)
        self._file.write(manifest.encoded())
        self._file.flush()
        os.fsync(self._file.fileno())

    def _header(self, name: str, size: int) -> bytes:
        info = tarfile.TarInfo(name)
        info.size, info.mode, info.mtime = size, 0o600, int(self._made)
        return info.tobuf(tarfile.GNU_FORMAT)


class Reader:
    """Reads an archive.  Raises `StartError` wherever it is not one that a backup wrote."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        self._file = file
        self._left = os.fstat(file.fileno()).st_size
        size = self._enter(MANIFEST)
        if size != MANIFEST_BYTES:
            raise self._refusal(f"its {MANIFEST} is of another length")
        try:
            self.manifest = msgspec.json.decode(self._exactly(size), type=Manifest)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise self._refusal(f"its {MANIFEST} cannot be read: {excerpt(str(error))}") from None
        self._require_manifest()

    def _require_manifest(self) -> None:
        manifest = self.manifest
        if manifest.format != FORMAT:
            raise self._refusal(f"it is of the format {manifest.format}, and known is {FORMAT}")
        if list(manifest.members) != [kept.name for kept in FILES]:
            raise self._refusal("it does not hold exactly the files of a data directory")
        for kept in FILES:
            member = manifest.members[kept.name]
            if member.schema > kept.schema:
                raise StartError(
                    f"{self._path} was made by a newer version of this program"
                    f" ({excerpt(manifest.version)}): {kept.name} has the schema {member.schema},"
                    f" ours is {kept.schema}; install that version"
                )

    def unpack(self, name: str, target: BinaryIO) -> None:
        """Write the next member, which has this name, into a file; its content is as stated."""
        said = self.manifest.members[name]
        if self._enter(name) != said.size:
            raise self._refusal(f"{name} is not as long as the manifest says")
        digest = hashlib.sha256()
        left = said.size
        while left:
            piece = self._exactly(min(left, PIECE_BYTES))
            digest.update(piece)
            target.write(piece)
            left -= len(piece)
        self._exactly(-said.size % BLOCK_BYTES)
        if digest.hexdigest() != said.sha256:
            raise self._refusal(f"{name} is not what was written: its SHA-256 is another one")
        target.flush()
        os.fsync(target.fileno())

    def finish(self) -> None:
        """Hold the end against what it must be: two empty blocks and nothing else."""
        if self._left != 2 * BLOCK_BYTES or any(self._exactly(2 * BLOCK_BYTES)):
            raise self._refusal("something stands after its last member")

    def _enter(self, name: str) -> int:
        """Read the header of a member that must have this name; its size."""
        try:
            info = tarfile.TarInfo.frombuf(self._exactly(BLOCK_BYTES), "ascii", "strict")
        except (tarfile.TarError, ValueError):
            raise self._refusal(f"where {name} should begin is no header of a tar") from None
        if info.name != name or info.type != tarfile.REGTYPE:
            raise self._refusal(f"where {name} should be is something else")
        if not 0 <= info.size <= self._left:
            raise self._refusal(f"it ends before {name} does")
        return info.size

    def _exactly(self, size: int) -> bytes:
        found = self._file.read(size)
        self._left -= len(found)
        if len(found) != size:
            raise self._refusal("it ends too early")
        return found

    def _refusal(self, why: str) -> StartError:
        return StartError(f"{self._path} is no backup that can be restored: {why}")
