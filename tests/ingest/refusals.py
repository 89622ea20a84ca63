"""Pushes that are refused, each with its status and code: one table for parser and server."""

from __future__ import annotations

import json
import time
from typing import Any

from tests.ingest.documents import KEYS, encoded, frame, full, simple, with_value

NOW = time.time()


def _body(document: Any) -> bytes:
    return json.dumps(document).encode()


def _without(field: str) -> bytes:
    return encoded(**{field: None})


def _labelled(**labels: Any) -> bytes:
    return encoded(labels=labels)


def _keyed(key: str) -> bytes:
    return encoded(schema=[key], frames=[frame(values=(1,))])


def _at(at: Any) -> bytes:
    return encoded(frames=[frame(NOW - 5), frame(NOW - 4), frame(at)])


def _process(**row: Any) -> bytes:
    return encoded(snapshots={"processes": [{"pid": 1, "name": "init"} | row]})


REFUSALS: dict[str, tuple[bytes, int, str, str | None]] = {
    # body, status, code, field
    "empty": (b"", 400, "bad_shape", None),
    "blank": (b" \n", 400, "bad_shape", None),
    "null": (b"null", 400, "bad_shape", None),
    "list": (b"[]", 400, "bad_shape", None),
    "text": (b'"x"', 400, "bad_shape", None),
    "empty object": (b"{}", 400, "bad_shape", "host"),
    "not JSON": (b"{'host': 1}", 400, "bad_json", None),
    "two documents": (encoded() + b"{}", 400, "bad_json", None),
    "cut short": (encoded()[:-5], 400, "bad_json", None),
    "deep list": (b"[" * 100_000, 400, "too_deep", None),
    "deep object": (b'{"a":' * 901 + b"1" + b"}" * 901, 400, "too_deep", None),
    "deep unknown field": (
        encoded(info={"x": json.loads("[" * 20 + "]" * 20)}),
        400,
        "too_deep",
        None,
    ),
    "NaN": (with_value("NaN"), 400, "non_finite", None),
    "Infinity": (with_value("Infinity"), 400, "non_finite", None),
    "-Infinity": (with_value("-Infinity"), 400, "non_finite", None),
    "NaN in what is ignored": (b'{"x":NaN}', 400, "non_finite", None),
    "1e999": (with_value("1e999"), 400, "non_finite", "frames[0].values[0]"),
    "-1e999": (with_value("-1e999"), 400, "non_finite", "frames[0].values[0]"),
    "5000 digits": (with_value("9" * 5000), 400, "number_range", None),
    "400 digits": (with_value("9" * 400), 400, "number_range", "frames[0].values[0]"),
    "2^63": (with_value(str(2**63)), 400, "number_range", "frames[0].values[0]"),
    "2^53+1 of a counter": (
        encoded(frames=[frame(values=(1, 2**53 + 1))]),
        400,
        "number_range",
        "frames[0].values[1]",
    ),
    "true": (with_value("true"), 400, "bad_type", "frames[0].values[0]"),
    "text as value": (with_value('"1"'), 400, "bad_type", "frames[0].values[0]"),
    "underscores": (with_value('"1_000"'), 400, "bad_type", "frames[0].values[0]"),
    "bare underscores": (with_value("1_000"), 400, "bad_json", None),
    "Arabic digits": (with_value('"٣"'), 400, "bad_type", "frames[0].values[0]"),
    "bare Arabic digits": (with_value("٣"), 400, "bad_json", None),
    "list as value": (with_value("[1]"), 400, "bad_type", "frames[0].values[0]"),
    "duplicate host": (b'{"host":"a","host":"b"}', 400, "duplicate_key", "host"),
    "duplicate metric": (b'{"host":"a","metrics":{"x":1,"x":2}}', 400, "duplicate_key", "x"),
    "duplicate by escape": (b'{"host":"a","h\\u006fst":"b"}', 400, "duplicate_key", "host"),
    "Latin-1": (b'{"host":"\xe9"}', 400, "bad_utf8", None),
    "UTF-16": ('{"host":"a"}'.encode("utf-16"), 400, "bad_utf8", None),
    "UTF-16 without mark": ('{"host":"a"}'.encode("utf-16-le"), 400, "bad_utf8", None),
    "UTF-32": ('{"host":"a"}'.encode("utf-32-be"), 400, "bad_utf8", None),
    "byte order mark": (b"\xef\xbb\xbf" + encoded(), 400, "bad_utf8", None),
    "lone surrogate": (_body(full(info={"x": "\ud800"})), 400, "bad_utf8", None),
    "lone low surrogate as key": (_body({"\udc00": 1}), 400, "bad_utf8", None),
    "surrogate in UTF-8": (b'{"host":"\xed\xa0\x80"}', 400, "bad_utf8", None),
    "metric of 10 kB": (_keyed("a" * 10_240), 400, "limit_name", "schema[0]"),
    "metric of 256 characters": (_keyed("a" * 256), 400, "limit_name", "schema[0]"),
    "1000 attributes": (
        _keyed("a{" + ",".join(f'b{n:04}="1"' for n in range(300)) + "}"),
        400,
        "limit_labels",
        "schema[0]",
    ),
    "empty attribute": (_keyed('a{b=""}'), 400, "limit_labels", "schema[0]"),
    "long attribute": (_keyed(f'a{{b="{"x" * 1025}"}}'), 400, "limit_labels", "schema[0]"),
    "attributes not sorted": (_keyed('a{c="1",b="2"}'), 400, "bad_key", "schema[0]"),
    "empty braces": (_keyed("a{}"), 400, "bad_key", "schema[0]"),
    "attribute twice": (_keyed('a{b="1",b="2"}'), 400, "bad_key", "schema[0]"),
    "bad escape": (_keyed('a{b="\\q"}'), 400, "bad_key", "schema[0]"),
    "raw newline": (_keyed('a{b="\n"}'), 400, "bad_key", "schema[0]"),
    "not closed": (_keyed('a{b="1'), 400, "bad_key", "schema[0]"),
    "metric with a space": (_keyed("a b"), 400, "bad_key", "schema[0]"),
    "no metric": (_keyed(""), 400, "bad_key", "schema[0]"),
    "KEY twice": (encoded(schema=[KEYS[0]] * 2), 400, "duplicate_key", "schema[1]"),
    "KEY a number": (encoded(schema=[KEYS[0], 7]), 400, "bad_type", "schema[1]"),
    "no KEY": (encoded(schema=[], frames=[frame(values=())]), 400, "bad_shape", "schema"),
    "schema a number": (encoded(schema=7), 400, "bad_type", "schema"),
    "schema no digest": (encoded(schema="sha256:xyz"), 400, "bad_shape", "schema"),
    "schema not sent": (encoded(schema="sha256:" + "0" * 64), 409, "unknown_schema", "schema"),
    "too many series": (
        encoded(schema=[f"a{n}" for n in range(10_001)]),
        400,
        "series_limit",
        "schema",
    ),
    "a million points": (
        _body({"host": "web-1", "x": [0] * 1_000_000}),
        413,
        "too_many_samples",
        None,
    ),
    "many samples": (
        encoded(
            schema=[f"a{n}" for n in range(600)],
            frames=[frame(values=(1,) * 600)] * 90,
        ),
        413,
        "too_many_samples",
        "frames",
    ),
    "many frames": (encoded(frames=[frame()] * 1001), 413, "too_many_samples", "frames"),
    "at 0": (_at(0), 400, "bad_time", "frames[2].at"),
    "at -1": (_at(-1), 400, "bad_time", "frames[2].at"),
    "at in milliseconds": (_at(int(NOW * 1000)), 400, "bad_time", "frames[2].at"),
    "at in nanoseconds": (_at(int(NOW * 1e9)), 400, "bad_time", "frames[2].at"),
    "at in the year 9999": (_at(253402300799), 400, "bad_time", "frames[2].at"),
    "at 1e300": (_at(1e300), 400, "bad_time", "frames[2].at"),
    "at before it was set": (_at(86_400), 400, "bad_time", "frames[2].at"),
    "at tomorrow": (_at(NOW + 86_400), 400, "bad_time", "frames[2].at"),
    "at as text": (_at("2026-01-01T00:00:00Z"), 400, "bad_time", "frames[2].at"),
    "at true": (_at(True), 400, "bad_time", "frames[2].at"),
    "at missing": (encoded(frames=[{"values": [1, 2]}]), 400, "bad_time", "frames[0].at"),
    "sent as text": (encoded(sent="now"), 400, "bad_time", "sent"),
    "negative counter": (
        encoded(frames=[frame(values=(-1, -1))]),
        400,
        "negative_counter",
        "frames[0].values[1]",
    ),
    "negative counter, simple": (
        _body({"host": "web-1", "metrics": {KEYS[1]: -0.5}}),
        400,
        "negative_counter",
        None,
    ),
    "no host": (_without("host"), 400, "bad_shape", "host"),
    "no boot_id": (_without("boot_id"), 400, "bad_shape", "boot_id"),
    "no seq": (_without("seq"), 400, "bad_shape", "seq"),
    "no schema": (_without("schema"), 400, "bad_shape", "schema"),
    "no frames": (_without("frames"), 400, "bad_shape", "frames"),
    "empty frames": (encoded(frames=[]), 400, "bad_shape", "frames"),
    "frames an object": (encoded(frames={}), 400, "bad_shape", "frames"),
    "frame a number": (encoded(frames=[3]), 400, "bad_type", "frames[0]"),
    "values too few": (encoded(frames=[frame(values=(1,))]), 400, "bad_shape", "frames[0].values"),
    "values too many": (
        encoded(frames=[frame(values=(1, 2, 3))]),
        400,
        "bad_shape",
        "frames[0].values",
    ),
    "both forms": (encoded(metrics={"a": 1}), 400, "bad_shape", "metrics"),
    "metrics a list": (_body({"host": "a", "metrics": [1]}), 400, "bad_shape", "metrics"),
    "metrics empty": (_body({"host": "a", "metrics": {}}), 400, "bad_shape", "metrics"),
    "metrics without host": (_body({"metrics": {"a": 1}}), 400, "bad_shape", "host"),
    "metric true": (simple(a=True), 400, "bad_type", "metrics[a]"),
    "metric nested": (simple(a={"value": 1}), 400, "bad_type", "metrics[a]"),
    "host with a path": (encoded(host="../../x"), 400, "bad_host_name", "host"),
    "host of dots": (encoded(host=".."), 400, "bad_host_name", "host"),
    "host that breaks lines": (
        encoded(host="web\n\nevent: alert\ndata: {}"),
        400,
        "bad_host_name",
        "host",
    ),
    "host empty": (encoded(host=""), 400, "bad_host_name", "host"),
    "host too long": (encoded(host="a" * 254), 400, "bad_host_name", "host"),
    "host with Arabic digits": (encoded(host="web٣"), 400, "bad_host_name", "host"),
    "host with a line's end": (encoded(host="web\n"), 400, "bad_host_name", "host"),
    "host a number": (encoded(host=7), 400, "bad_type", "host"),
    "boot_id a number": (encoded(boot_id=7), 400, "bad_type", "boot_id"),
    "boot_id empty": (encoded(boot_id=""), 400, "limit_name", "boot_id"),
    "boot_id too long": (encoded(boot_id="b" * 129), 400, "limit_name", "boot_id"),
    "agent with control characters": (encoded(agent="a\x1b"), 400, "limit_name", "agent"),
    "seq as text": (encoded(seq="1"), 400, "bad_type", "seq"),
    "seq true": (encoded(seq=True), 400, "bad_type", "seq"),
    "seq real": (encoded(seq=1.0), 400, "bad_type", "seq"),
    "seq negative": (encoded(seq=-1), 400, "number_range", "seq"),
    "seq too large": (encoded(seq=2**63), 400, "number_range", "seq"),
    "labels a list": (encoded(labels=["a"]), 400, "bad_type", "labels"),
    "label a number": (_labelled(role=7), 400, "bad_type", "labels.role"),
    "label too long": (_labelled(role="x" * 257), 400, "limit_labels", "labels.role"),
    "label with control characters": (_labelled(role="\x1b[31m"), 400, "limit_labels", None),
    "label with a bad name": (_labelled(**{"a-b": "x"}), 400, "limit_labels", "labels.a-b"),
    "too many labels": (
        _labelled(**{f"l{n}": "x" for n in range(33)}),
        400,
        "limit_labels",
        "labels",
    ),
    "info a list": (encoded(info=[]), 400, "bad_type", "info"),
    "snapshots a list": (encoded(snapshots=[]), 400, "bad_type", "snapshots"),
    "unknown snapshot": (
        encoded(snapshots={"pods": []}),
        400,
        "unknown_snapshot",
        "snapshots.pods",
    ),
    "rows an object": (
        encoded(snapshots={"processes": {}}),
        400,
        "bad_type",
        "snapshots.processes",
    ),
    "row a list": (encoded(snapshots={"processes": [[]]}), 400, "bad_type", None),
    "too many rows": (
        encoded(snapshots={"processes": [{"pid": n, "name": "x"} for n in range(201)]}),
        400,
        "too_many_rows",
        "snapshots.processes",
    ),
    "no pid": (_process(pid=None), 400, "bad_shape", "snapshots.processes[0].pid"),
    "pid as text": (_process(pid="1"), 400, "bad_type", "snapshots.processes[0].pid"),
    "pid true": (_process(pid=True), 400, "bad_type", "snapshots.processes[0].pid"),
    "pid negative": (_process(pid=-1), 400, "number_range", "snapshots.processes[0].pid"),
    "name a number": (_process(name=1), 400, "bad_type", "snapshots.processes[0].name"),
    "cpu as text": (_process(cpu="1"), 400, "bad_type", "snapshots.processes[0].cpu"),
    "rss negative": (_process(rss=-1), 400, "number_range", "snapshots.processes[0].rss"),
    "io endless": (
        _process(io=1).replace(b'"io": 1', b'"io": 1e999'),
        400,
        "non_finite",
        "snapshots.processes[0].io",
    ),
    "long command": (
        _process(command="x" * 4097),
        400,
        "limit_name",
        "snapshots.processes[0].command",
    ),
}
