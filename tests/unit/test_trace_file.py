"""The file that the local trace sink writes and its reader reads."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from deploy.local.trace_sink import TraceFile
from deploy.local.traces import Span, read_trace, render_trace


def test_traces_stay_readable_and_bounded_when_the_file_is_full(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    traces = TraceFile(path, max_bytes=2_000)
    span = Span("a" * 32, "", "", "work", "INTERNAL", "loyalty", 1, 2, "UNSET", "", {}, [], [])

    for number in range(20):
        traces.append(
            [dataclasses.replace(span, span_id=f"{number:016x}", start_unix_nanos=number)]
        )

    kept = [int(span.span_id, 16) for span in read_trace(path, span.trace_id)]
    assert kept == list(range(kept[0], 20))
    assert 0 < kept[0] < 20
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 2 * 2_000
    assert all(json.loads(line)["name"] == "work" for line in path.read_text().splitlines())


def test_a_trace_is_drawn_by_parentage_with_its_failures_named() -> None:
    root = Span("a" * 32, "1", "", "close", "SERVER", "slips", 0, 9_000_000, "OK", "", {}, [], [])
    call = dataclasses.replace(root, span_id="2", parent_span_id="1", name="call")
    refused = dataclasses.replace(
        root,
        span_id="3",
        parent_span_id="2",
        name="accrue",
        service="points",
        status="ERROR",
        attributes={"rpc.response.status_code": "INTERNAL"},
    )
    record = dataclasses.replace(
        root, span_id="4", parent_span_id="1", name="record", start_unix_nanos=8_000_000
    )

    drawn = render_trace([record, refused, call, root])

    assert drawn.splitlines() == [
        "slips  close               9.00 ms  ok",
        "├─ slips  call             9.00 ms  ok",
        "│  └─ points  accrue       9.00 ms  ERROR INTERNAL",
        "└─ slips  record           1.00 ms  ok",
    ]
