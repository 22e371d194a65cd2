"""What `status` says of the stream, in one line."""

from __future__ import annotations

import pytest

from app.views.status import stream_line

STREAM = {
    "running": True,
    "state": "running",
    "holder": "till-7 pid 4711",
    "epoch": 12,
    "source": "s3://lake/sales_data/",
    "since": "2026-11-28T08:15:00.123456Z",
    "heartbeat_at": "2026-11-28T09:00:00.500000Z",
    "heartbeat_seconds_ago": 1.2,
    "stopped_at": None,
    "stop_asked_by": None,
}


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "Stream runs on till-7 pid 4711 (epoch 12) since 2026-11-28 08:15:00 UTC, last heartbeat 1.2 s ago"),
        (
            {"state": "stopping", "stop_asked_by": "ana\x1b on desk"},
            "Stream runs on till-7 pid 4711 (epoch 12) since 2026-11-28 08:15:00 UTC, last heartbeat 1.2 s ago;"
            " ana\\x1b on desk has asked it to stop",
        ),
        (
            {"state": "stopped", "stopped_at": "2026-11-28T09:30:00Z"},
            "No stream is running: the last one, on till-7 pid 4711 (epoch 12), stopped at 2026-11-28 09:30:00 UTC",
        ),
        ({"state": "dead"}, "No stream is running: the last one, on till-7 pid 4711 (epoch 12), was killed, last heartbeat 1.2 s ago"),
        (
            {"state": "silent", "heartbeat_seconds_ago": 90.0},
            "No stream is heard of: till-7 pid 4711 (epoch 12) was killed, is frozen or has lost MySQL, last heartbeat 90.0 s ago",
        ),
        ({"state": "never started", "holder": None}, "No stream has run yet"),
    ],
    ids=["runs", "is asked to stop", "stopped", "killed", "silent", "never"],
)
def test_the_line_says_whether_a_stream_runs_where_and_since_when(changes: dict[str, object], line: str) -> None:
    assert stream_line(STREAM | changes) == line
