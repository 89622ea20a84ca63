"""VictoriaMetrics and Prometheus from Debian's packages, each a process on a port of loopback.

Neither has what it acknowledges on the disk: VictoriaMetrics keeps the newest second in memory,
Prometheus writes its log without syncing it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.store.peer import Peer, selector, size
from bench.store.samples import Samples
from bench.store.shapes import Question


class VictoriaMetrics(Peer):
    """One node, its defaults, nothing scraped."""

    name = "VictoriaMetrics"
    program = "victoria-metrics"

    def options(self, data: Path, port: int, samples: Samples) -> list[str]:
        """The words after the program's name."""
        del samples
        return [
            f"-storageDataPath={data}",
            f"-httpListenAddr=127.0.0.1:{port}",
            "-retentionPeriod=100y",
        ]

    def finish(self) -> None:
        """Have it write down and compact what it holds."""
        data = self._folder / "data" / "data"
        self._get("/internal/force_flush")
        before = -1
        while size(data) != before:  # a merge begins what another one may go on with
            before = size(data)
            self._get("/internal/force_merge")
            self.idle()

    def sizes(self) -> Mapping[str, int]:
        """Bytes on disk, by what they are."""
        data = self._folder / "data"
        samples, names = size(data / "data"), size(data / "indexdb")
        return {"samples": samples, "samples and index": samples + names}

    def rows(self, question: Question) -> bytes:
        """Every sample as it was stored."""
        return self._get(
            "/api/v1/export",
            **{"match[]": selector(question)},
            start=question.start,
            end=question.end - 0.001,
        )

    def parsed(self, body: bytes) -> list[float]:
        """The values in an answer of one series."""
        return [float(value) for value in json.loads(body)["values"]] if body else []


class Prometheus(Peer):
    """One node that takes remote write, its defaults but for the length of a block.

    Its blocks begin at two hours, as they do by default; of rows a minute or more apart at a
    day, else a month would be some 360 compactions.
    """

    name = "Prometheus"
    program = "prometheus"

    def options(self, data: Path, port: int, samples: Samples) -> list[str]:
        """The words after the program's name."""
        config = self._folder / "prometheus.yml"
        config.write_text("global: {}\n")
        block = "2h" if samples.step_seconds < 60 else "24h"
        return [
            f"--config.file={config}",
            f"--storage.tsdb.path={data}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--storage.tsdb.retention.time=100y",
            f"--storage.tsdb.min-block-duration={block}",
            "--web.enable-remote-write-receiver",
            "--web.enable-admin-api",
        ]

    def finish(self) -> None:
        """Have it write down and compact what it holds."""
        # A snapshot is its blocks, with what is still in its head made into one more.
        self.idle()
        said: dict[str, Any] = json.loads(self._get("/api/v1/admin/tsdb/snapshot"))
        self._snapshot = self._folder / "data" / "snapshots" / said["data"]["name"]
        self.idle()

    def sizes(self) -> Mapping[str, int]:
        """Bytes on disk, by what they are."""
        data = self._folder / "data"
        everything = size(data) - size(data / "snapshots")
        return {"blocks": size(self._snapshot), "its folder, log included": everything}

    def rows(self, question: Question) -> bytes:
        """Every sample as it was stored."""
        # The window of an instant query holds both its ends.
        span = question.end - question.start
        return self._get(
            "/api/v1/query",
            query=f"{selector(question)}[{round(span * 1e3) - 1}ms]",
            time=question.end - 0.001,
        )

    def parsed(self, body: bytes) -> list[float]:
        """The values in an answer of one series."""
        found = json.loads(body)["data"]["result"]
        return [float(value) for series in found for _, value in series["values"]]
