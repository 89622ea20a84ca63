"""What becomes of a target's samples: which KEYs they are, and how they are put together.

node_exporter's metrics and those of our own agents become the catalog's KEYs.  Everything else
keeps its name, with its own labels as attributes and beside them ``job``, and ``instance`` where
two targets of one job speak of one host.  A plan holds for as long as a target has the same series.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.core.catalog import CATALOG
from monitor.core.prometheus_names import EXPORTED_HOST, catalog_name
from monitor.errors import InputError
from monitor.ingest import names
from monitor.ingest.deriving import Deriver
from monitor.ingest.exposition_lines import Series
from monitor.ingest.node_exporter import Part, Shape
from monitor.ingest.node_machine import Machine
from monitor.model import Row, SeriesKey

STALE_SECONDS = 300.0
"""A sample that says it was taken so long before (or after) the scrape is no part of it: what
Prometheus looks back."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How the samples of a scrape become the values of KEYs.

    Sample ``places[n]`` adds its value times ``factors[n]`` to KEY ``targets[n]``.
    """

    keys: tuple[str, ...]
    places: NDArray[np.intp]
    targets: NDArray[np.intp]
    factors: NDArray[np.float64]
    positive: NDArray[np.intp]
    flags: NDArray[np.intp]
    stored: NDArray[np.intp]
    """Of the KEYs, those that are not only there to derive from."""
    wanted: tuple[int, ...]
    """Of the KEYs, those that something is derived from."""
    refused: int
    """Series whose name or labels make no KEY."""
    facts: Mapping[str, str]
    filesystems: tuple[Row, ...]

    def values(self, samples: NDArray[np.float64]) -> NDArray[np.float64]:
        """The value of each KEY, NaN where there is none."""
        finite = np.where(np.isfinite(samples), samples, np.nan)
        weights = finite[self.places] * self.factors
        found = np.bincount(self.targets, weights, len(self.keys))
        found[self.positive] = np.where(found[self.positive] > 0, found[self.positive], np.nan)
        flags = found[self.flags]
        found[self.flags] = np.where(np.isnan(flags), np.nan, flags > 0)
        return np.asarray(found, np.float64)


def planned(series: Sequence[Series], own: Mapping[str, str]) -> Plan:
    """The plan for samples of these series; `own` are the attributes of what keeps its name."""
    labels = [dict(each.labels) for each in series]
    pairs = zip((each.name for each in series), labels, strict=True)
    machine = Machine(pairs)
    index: dict[str, int] = {}
    shapes: list[Shape] = []
    places: list[int] = []
    targets: list[int] = []
    factors: list[float] = []
    refused = 0
    for place, each in enumerate(series):
        try:
            parts = machine.mapped(each.name, labels[place])
            is_kept = parts is None
            if parts is None:
                parts = (_kept(each.name, labels[place], own),)
            found = [(_checked(part.key), part) for part in parts]
        except InputError:
            refused += 1
            continue
        if is_kept and found[0][0] in index:
            refused += 1  # its labels became those of another one: the first counts
            continue
        for text, part in found:
            if text not in index:
                index[text] = len(index)
                shapes.append(part.shape)
            places.append(place)
            targets.append(index[text])
            factors.append(part.factor)
    wants = Deriver().wants
    return Plan(
        tuple(index),
        np.array(places, np.intp),
        np.array(targets, np.intp),
        np.array(factors, np.float64),
        _with(shapes, Shape.POSITIVE),
        _with(shapes, Shape.FLAG),
        np.array([n for n, shape in enumerate(shapes) if shape is not Shape.HIDDEN], np.intp),
        tuple(number for text, number in index.items() if wants(text)),
        refused,
        machine.facts,
        machine.filesystems,
    )


def _with(shapes: Sequence[Shape], wanted: Shape) -> NDArray[np.intp]:
    return np.array([number for number, shape in enumerate(shapes) if shape is wanted], np.intp)


def _kept(name: str, labels: Mapping[str, str], own: Mapping[str, str]) -> Part:
    """What a sample is that no table knows, or that one of our own agents says."""
    metric = catalog_name(name)
    if metric is not None and labels.keys() <= set(CATALOG[metric].attributes):
        return Part(str(SeriesKey(metric, tuple(sorted(labels.items())))))
    attributes = {
        f"exported_{label}" if label in ("job", "instance") else label: value
        for label, value in labels.items()
    }
    if "host" in attributes:
        # As we are told apart by it: a label of that name is somebody else's word.
        attributes[EXPORTED_HOST] = attributes.pop("host")
    return Part(str(SeriesKey(name, tuple(sorted({**attributes, **own}.items())))))


def _checked(text: str) -> str:
    names.key(text, "series")
    return text
