"""Put a local folder under the source prefix: parallel, streamed, every file accounted for."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from app.errors import PipelineError, UsageError
from app.s3.read import translated

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
else:
    S3Client = Any

# From this size a file goes up in parts: a broken connection then costs one part, and one PUT may not exceed 5 GB anyway.
MULTIPART_BYTES = 64 << 20
# Fewer than the client's connections, of which a part-wise upload takes several.
THREADS = 8


@dataclass(frozen=True)
class LocalFile:
    """A file to upload, the key it gets and its size."""

    path: Path
    key: str
    size: int


@dataclass(frozen=True)
class Remark:
    """A file or folder that was not uploaded, and why, both fit to print in one line."""

    path: str
    reason: str


@dataclass(frozen=True)
class UploadPlan:
    """What is to become of every file below a folder. The lists grow while the folder is walked."""

    files: list[LocalFile] = field(default_factory=list)
    skipped: list[Remark] = field(default_factory=list)
    failed: list[Remark] = field(default_factory=list)


@dataclass(frozen=True)
class UploadSummary:
    """What an upload did: every file below the folder is in exactly one of uploaded, skipped and failed."""

    target: str
    uploaded: tuple[str, ...]
    bytes: int
    skipped: tuple[Remark, ...]
    failed: tuple[Remark, ...]
    seconds: float

    @property
    def exit_code(self) -> int:
        """Return 1 when a file failed, else 0."""
        return 1 if self.failed else 0

    def lines(self) -> list[str]:
        """Return the report: one line for each skipped and each failed file, then the counts."""
        counts = f"{len(self.uploaded)} uploaded ({self.bytes:,} bytes), {len(self.skipped)} skipped, {len(self.failed)} failed"
        return [
            *(f"skipped {remark.path}: {remark.reason}" for remark in self.skipped),
            *(f"failed {remark.path}: {remark.reason}" for remark in self.failed),
            f"{self.target}: {counts} in {self.seconds:.1f} s",
        ]


def upload_folder(
    client: S3Client,
    bucket: str,
    prefix: str,
    folder: str | Path,
    *,
    threads: int = THREADS,
    progress: bool = True,
    rule: Callable[[str], str | None] = lambda _: None,
    marker: str | None = None,
) -> UploadSummary:
    """Upload every file below `folder`: its key is the prefix and its path below the folder.

    Hidden files and folders, `.crc` files, `_SUCCESS` markers and whatever is no regular file are skipped. A file that fails
    does not stop the others.

    Args:
        client: an S3 client.
        bucket: the bucket.
        folder: the local folder.
        prefix: with or without a slash at its ends; the keys have exactly one there.
        threads: uploads at the same time.
        progress: show a bar on standard error, if that is a terminal.
        rule: names the rule by which the stream would not load a key below the prefix; such files are skipped.
        marker: ending of the markers that say that a file is complete; they go up after all other files.

    Raises:
        UsageError: `folder` is no folder.
    """
    started = time.monotonic()
    plan = plan_upload(Path(folder), prefix, rule)
    uploaded: list[LocalFile] = []
    failed = list(plan.failed)
    with _bar(progress) as bar, _workers(threads) as workers:
        task = bar.add_task("upload", total=sum(file.size for file in plan.files), done="")
        finished = 0
        for wave in _waves(plan.files, marker):
            running = {workers.submit(_put, client, bucket, file, partial(bar.advance, task)): file for file in wave}
            for done in as_completed(running):
                reason = _reason(done)
                if reason is None:
                    uploaded.append(running[done])
                else:
                    failed.append(_remark(running[done].path, reason))
                finished += 1
                bar.update(task, done=f"{finished}/{len(plan.files)}")
    return UploadSummary(
        target=f"s3://{bucket}/{_as_folder(prefix)}",
        uploaded=tuple(sorted(file.key for file in uploaded)),
        bytes=sum(file.size for file in uploaded),
        skipped=tuple(plan.skipped),
        failed=tuple(sorted(failed, key=lambda remark: remark.path)),
        seconds=time.monotonic() - started,
    )


def _waves(files: list[LocalFile], marker: str | None) -> list[list[LocalFile]]:
    """Return the files that go up side by side: markers after the files that they stand for."""
    if marker is None:
        return [files]
    return [[file for file in files if not file.key.endswith(marker)], [file for file in files if file.key.endswith(marker)]]


def plan_upload(folder: Path, prefix: str, rule: Callable[[str], str | None] = lambda _: None) -> UploadPlan:
    """Walk the folder, in a fixed order, and decide on every file in it.

    Raises:
        UsageError: `folder` is no folder.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder", cure="name the folder whose files are to be uploaded")
    plan = UploadPlan()

    def unreadable(exc: OSError) -> None:
        plan.failed.append(_remark(exc.filename, exc.strerror or type(exc).__name__))

    for here, folders, names in os.walk(folder, onerror=unreadable):
        for name in sorted(folders):
            if name.startswith("."):
                plan.skipped.append(_remark(Path(here, name), "hidden folder"))
            elif Path(here, name).is_symlink():
                plan.skipped.append(_remark(Path(here, name), "link to a folder"))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(here, name)
            below = path.relative_to(folder).as_posix()
            broken = rule(below)
            if broken:
                plan.skipped.append(_remark(path, f"the stream does not load it, by the rule {broken}"))
            else:
                _plan_file(plan, path, _as_folder(prefix) + below)
    return plan


def _plan_file(plan: UploadPlan, path: Path, key: str) -> None:
    reason = _why_skipped(path.name)
    if reason:
        plan.skipped.append(_remark(path, reason))
        return
    try:
        key.encode()
        found = path.stat()
    except UnicodeEncodeError:
        plan.failed.append(_remark(path, "its name is not UTF-8, and an S3 key is"))
    except OSError as exc:
        plan.failed.append(_remark(path, exc.strerror or type(exc).__name__))
    else:
        if stat.S_ISREG(found.st_mode):
            plan.files.append(LocalFile(path, key, found.st_size))
        else:
            # A pipe or a device would be read for ever.
            plan.skipped.append(_remark(path, "not a regular file"))


def _why_skipped(name: str) -> str | None:
    if name.startswith("."):
        return "hidden file"
    if name.endswith(".crc"):
        return "checksum file of Hadoop"
    return "marker of Spark" if name == "_SUCCESS" else None


def _remark(path: Path | str, reason: str) -> Remark:
    # A name may hold line breaks or bytes that are no text; a report line may not.
    shown = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in str(path))
    return Remark(shown, reason)


def _as_folder(prefix: str) -> str:
    parts = [part for part in prefix.split("/") if part]
    return "/".join(parts) + "/" if parts else ""


@contextmanager
def _workers(threads: int) -> Iterator[ThreadPoolExecutor]:
    pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="upload")
    try:
        yield pool
    finally:
        # Otherwise Ctrl-C would first upload all that is still queued.
        pool.shutdown(cancel_futures=True)


def _put(client: S3Client, bucket: str, file: LocalFile, advance: Callable[[int], None]) -> None:
    with translated(f"s3://{bucket}/{file.key}"), file.path.open("rb") as body:
        if file.size >= MULTIPART_BYTES:
            # Not upload_file: that one hides the server's answer in an error of its own kind.
            client.upload_fileobj(body, bucket, file.key, Callback=advance)
        else:
            client.put_object(Bucket=bucket, Key=file.key, Body=body)
            advance(file.size)


def _reason(done: Future[None]) -> str | None:
    """Return why an upload failed, in one line; None when it did not."""
    error = done.exception()
    if error is None:
        return None
    if isinstance(error, PipelineError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(f"{type(error).__name__}: {error}".split())


def _bar(progress: bool) -> Progress:
    console = Console(stderr=True)
    files = TextColumn("uploading {task.fields[done]} files")
    columns = (files, BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not (progress and console.is_terminal))
