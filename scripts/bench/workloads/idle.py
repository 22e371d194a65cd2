"""Workload g: a stream to which nothing comes. What does it cost a minute?"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace

from scripts.bench.contender import Contender
from scripts.bench.timing import Sample, memory_mb, spent_between, thread_seconds, tree
from scripts.bench.workloads.common import WARM, Setting, warm
from tests.fault_proxy import Request, fault_proxy

SECONDS = 60


def nothing_comes(setting: Setting, contender: Contender) -> Sample:
    """Count S3 requests, MySQL statements and CPU of an idle minute."""
    site = setting.site
    seconds = max(5.0, SECONDS * min(1.0, setting.scale * 4))
    with fault_proxy(site.variables["AWS_ENDPOINT_URL_S3"]) as proxy:
        counted = replace(site, variables=site.variables | {"AWS_ENDPOINT_URL_S3": proxy.url})
        with warm(replace(setting, site=counted), contender, "idle") as live:
            time.sleep(2)
            pids = tree(live.running.process.pid)
            requests, statements, before, began = len(proxy.requests), _statements(setting), thread_seconds(pids), time.monotonic()
            time.sleep(seconds)
            took = time.monotonic() - began
            seen = proxy.requests[requests:]
            cpu, statements = spent_between(before, thread_seconds(tree(live.running.process.pid))), _statements(setting) - statements - 1
            memory = sum(map(memory_mb, pids))
    kinds = Counter(map(kind_of, seen))
    a_minute = 60 / took
    extra = {
        "s3_requests_a_minute": round(len(seen) * a_minute, 1),
        "s3_kinds": {kind: round(count * a_minute, 1) for kind, count in sorted(kinds.items())},
        "mysql_statements_a_minute": round(statements * a_minute),
        "triggers_a_minute": round(kinds.get("LIST", 0) * a_minute, 1),
        "cpu_s_a_minute": round(cpu * a_minute, 2),
    }
    return Sample(cpu * a_minute, WARM.rows, 1, memory, True, "", extra)


def kind_of(request: Request) -> str:
    """Name the kind of a request, as S3 bills them."""
    if request.method == "GET" and not request.key:
        return "LIST"
    if request.copied is not None:
        return "COPY"
    if request.method == "POST":
        return "POST uploads" if "uploads" in request.query else "POST complete" if "uploadId" in request.query else "POST"
    return request.method


def _statements(setting: Setting) -> int:
    return int(setting.site.query("SHOW GLOBAL STATUS LIKE 'Questions'")[0][1])
