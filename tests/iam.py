"""Judge S3 requests by an IAM policy: the actions that AWS asks for each request, and whether the policy allows them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

from tests.fault_proxy import Request

Need = tuple[str, str]  # action, key ("" for the bucket)


def needs(request: Request) -> set[Need]:
    """Return what AWS wants to be allowed for a request (Service Authorization Reference, Actions for Amazon S3)."""
    if not request.bucket:
        return {("s3:ListAllMyBuckets", "")}
    if not request.key:
        if "uploads" in request.query:
            return {("s3:ListBucketMultipartUploads", "")}
        if "delete" in request.query:
            return {("s3:DeleteObject", key) for key in request.deleted}
        return {("s3:ListBucket", "")}
    found = {("s3:GetObject", request.copied)} if request.copied else set()
    if request.method == "DELETE":
        return {("s3:AbortMultipartUpload" if "uploadId" in request.query else "s3:DeleteObject", request.key)}
    if request.method in ("GET", "HEAD"):
        return {("s3:ListMultipartUploadParts" if "uploadId" in request.query else "s3:GetObject", request.key)}
    return found | {("s3:PutObject", request.key)}


class Policy:
    """The statements of a policy file that allow something, with its BUCKET filled in."""

    def __init__(self, path: Path, bucket: str) -> None:
        statements = json.loads(path.read_text(encoding="utf-8").replace("BUCKET", bucket))["Statement"]
        assert all(statement["Effect"] == "Allow" for statement in statements)
        self.bucket = bucket
        self.grants = [
            (action, resource) for one in statements for action in _listed(one["Action"]) for resource in _listed(one["Resource"])
        ]

    def allows(self, request: Request) -> bool:
        """Tell whether everything the request needs is allowed."""
        return all(self.grant_of(need) is not None for need in needs(request))

    def grant_of(self, need: Need) -> tuple[str, str] | None:
        """Return the (action, resource) that allows a need."""
        action, key = need
        arn = f"arn:aws:s3:::{self.bucket}{f'/{key}' if key else ''}"
        return next((grant for grant in self.grants if grant[0] == action and fnmatchcase(arn, grant[1])), None)

    def unused(self, requests: Iterable[Request]) -> list[tuple[str, str]]:
        """Return the grants that none of the requests needed."""
        used = {self.grant_of(need) for request in requests for need in needs(request)}
        return [grant for grant in self.grants if grant not in used]


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
