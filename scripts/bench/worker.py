"""The loop of a batch contender, in its own process: look for new files, do them, report. Needs boto3 and nothing of the job's code."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config as BotoConfig

POLL_SECONDS = 0.1
SOURCE = "sales_data/"


def bucket() -> str:
    """Name the bucket."""
    return os.environ["SALESTREAM_BUCKET"]


def s3_client() -> Any:
    """Open an S3 client from the standard variables."""
    return boto3.client("s3", config=BotoConfig(s3={"addressing_style": "path"}, max_pool_connections=32))


def mysql_settings() -> dict[str, Any]:
    """Return how to reach MySQL."""
    names = ("host", "user", "password", "database")
    return {name: os.environ[f"SALESTREAM_MYSQL_{name.upper()}"] for name in names} | {"port": int(os.environ["SALESTREAM_MYSQL_PORT"])}


def report(keys: Sequence[str]) -> None:
    """Tell the harness that these files are committed now."""
    with Path(os.environ["BENCH_EVENTS"]).open("a") as events:
        events.write(json.dumps({"keys": list(keys), "at": time.time()}) + "\n")


def list_keys(client: Any) -> list[str]:
    """List the files below the source prefix."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket(), Prefix=SOURCE)
    return [item["Key"] for page in pages for item in page.get("Contents", []) if not item["Key"].endswith("/")]


def until_stopped() -> threading.Event:
    """Return an event that SIGTERM sets."""
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    return over


def serve(process: Callable[[list[str]], None]) -> None:
    """Hand new files to `process`, all that are there at a time, until told to stop."""
    client, over = s3_client(), until_stopped()
    seen: set[str] = set()
    while not over.is_set():
        new = [key for key in list_keys(client) if key not in seen]
        if new:
            process(new)
            report(new)
            seen |= set(new)
        else:
            over.wait(POLL_SECONDS)
