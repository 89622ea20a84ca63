"""What ``[remote_write.NAME]`` may say: where what is accepted goes, and what waits on disk."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RemoteWriteConfig:
    """One table of them."""
