"""Judge S3 requests by an IAM policy: the actions that AWS asks for each request, and whether the policy allows them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from tests.fault_proxy import Request

Need = tuple[str, str]  # action, key ("" for the bucket)
# The key of KMS that all objects of the bucket are encrypted with; a need for it names it in the place of the object.
KMS_KEY = "arn:aws:kms:REGION:ACCOUNT:key/KEY"


@dataclass
class Bucket:
    """What of a bucket decides about the rights that a request needs.

    Attributes:
        tagged: the keys of objects with tags. A copy takes them along.
        is_encrypted: whether all objects are encrypted by SSE-KMS.
        is_locked: whether objects get a default retention: a PUT needs a checksum, a plain DELETE leaves a delete marker.
    """

    tagged: set[str] = field(default_factory=set)
    is_encrypted: bool = False
    is_locked: bool = False

    def needs(self, request: Request) -> set[Need]:
        """Return what AWS wants to be allowed for a request in this bucket."""
        found = needs(request)
        if request.copied in self.tagged:
            found |= {("s3:GetObjectTagging", request.copied or ""), ("s3:PutObjectTagging", request.key)}
        if self.is_encrypted and request.key:
            found |= {("kms:Decrypt", KMS_KEY)} if request.method in ("GET", "HEAD") or request.copied else set()
            # An upload in parts reads back what it encrypts.
            found |= {("kms:GenerateDataKey", KMS_KEY)} if request.method in ("PUT", "POST") else set()
        return found

    def note(self, request: Request) -> None:
        """Remember what a request that was allowed has made."""
        if request.copied in self.tagged:
            self.tagged.add(request.key)

    def takes(self, request: Request) -> bool:
        """Tell whether the bucket takes a PUT: with an Object Lock only under a checksum."""
        is_upload = request.method == "PUT" and request.key and not request.copied
        return not (self.is_locked and is_upload) or any(
            name == "content-md5" or name.startswith("x-amz-checksum-") for name in request.headers
        )


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

    def __init__(self, path: Path, bucket: str, objects: Bucket | None = None) -> None:
        statements = json.loads(path.read_text(encoding="utf-8").replace("BUCKET", bucket))["Statement"]
        assert all(statement["Effect"] == "Allow" for statement in statements)
        self.bucket = bucket
        self.objects = objects or Bucket()
        self.used: set[tuple[str, str] | None] = set()
        self.grants = [
            (action, resource) for one in statements for action in _listed(one["Action"]) for resource in _listed(one["Resource"])
        ]

    def allows(self, request: Request) -> bool:
        """Tell whether everything the request needs is allowed."""
        grants = {self.grant_of(need) for need in self.objects.needs(request)}
        if None in grants or not self.objects.takes(request):
            return False
        self.used |= grants
        self.objects.note(request)
        return True

    def grant_of(self, need: Need) -> tuple[str, str] | None:
        """Return the (action, resource) that allows a need."""
        action, key = need
        arn = key if action.startswith("kms:") else f"arn:aws:s3:::{self.bucket}{f'/{key}' if key else ''}"
        return next((grant for grant in self.grants if grant[0] == action and fnmatchcase(arn, grant[1])), None)

    def unused(self) -> list[tuple[str, str]]:
        """Return the grants that no request that was allowed has needed."""
        return [grant for grant in self.grants if grant not in self.used]


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
