from __future__ import annotations

import os
from pathlib import Path

import pytest
from botocore.exceptions import EndpointConnectionError

from app.errors import UsageError
from app.s3.upload import MULTIPART_BYTES, upload_folder
from tests.doubles import FakeS3, refused


def put(folder: Path, name: str, content: bytes = b"x") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("prefix", ["sales_data/", "sales_data", "/sales_data//"])
def test_a_key_is_the_prefix_and_the_path_below_the_folder_with_single_slashes(tmp_path: Path, prefix: str) -> None:
    folder = tmp_path / "my drops"
    put(folder, "a.csv", b"one")
    put(folder, "sub/deep er/é.csv", b"two")
    client = FakeS3()
    summary = upload_folder(client, "lake", prefix, folder, progress=False)
    assert client.bodies == {("lake", "sales_data/a.csv"): b"one", ("lake", "sales_data/sub/deep er/é.csv"): b"two"}
    assert summary.uploaded == ("sales_data/a.csv", "sales_data/sub/deep er/é.csv")
    assert (summary.bytes, summary.exit_code) == (6, 0)


def test_no_prefix_puts_files_at_the_top(tmp_path: Path) -> None:
    put(tmp_path, "a.csv")
    assert upload_folder(FakeS3(), "lake", "", tmp_path).uploaded == ("a.csv",)


def test_same_names_in_two_folders_stay_two_objects(tmp_path: Path) -> None:
    put(tmp_path, "a/x.csv", b"1")
    put(tmp_path, "b/x.csv", b"2")
    client = FakeS3()
    upload_folder(client, "lake", "in/", tmp_path)
    assert client.bodies == {("lake", "in/a/x.csv"): b"1", ("lake", "in/b/x.csv"): b"2"}


def test_markers_and_hidden_files_are_skipped_and_named(tmp_path: Path) -> None:
    put(tmp_path, "good.csv")
    for name in ("_SUCCESS", "part-0.csv.crc", ".hidden.csv", ".git/config"):
        put(tmp_path, name)
    os.mkfifo(tmp_path / "pipe.csv")
    summary = upload_folder(FakeS3(), "lake", "in/", tmp_path)
    assert summary.uploaded == ("in/good.csv",)
    assert {(Path(remark.path).name, remark.reason) for remark in summary.skipped} == {
        ("_SUCCESS", "marker of Spark"),
        ("part-0.csv.crc", "checksum file of Hadoop"),
        (".hidden.csv", "hidden file"),
        (".git", "hidden folder"),
        ("pipe.csv", "not a regular file"),
    }
    assert summary.exit_code == 0
    assert sum(line.startswith("skipped ") for line in summary.lines()) == 5


def test_one_failing_file_does_not_stop_the_others(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv", "c.csv", "d.csv"):
        put(tmp_path, name)
    client = FakeS3().failing(refused(403, "AccessDenied", "no"), "in/b.csv").failing(ValueError("?"), "in/d.csv")
    client.failing(EndpointConnectionError(endpoint_url="http://127.0.0.1:9"), "in/c.csv")
    summary = upload_folder(client, "lake", "in/", tmp_path, threads=2)
    assert summary.uploaded == ("in/a.csv",)
    assert summary.exit_code == 1
    first, second, third, counts = summary.lines()
    assert first.startswith(f"failed {tmp_path}/b.csv: S3 s3://lake/in/b.csv: 403 AccessDenied no; ")
    assert second.startswith(f"failed {tmp_path}/c.csv: S3_UNAVAILABLE s3://lake/in/c.csv: Could not connect")
    assert third == f"failed {tmp_path}/d.csv: ValueError: ?"
    assert counts.startswith("s3://lake/in/: 1 uploaded (1 bytes), 0 skipped, 3 failed in ")


def test_a_file_that_cannot_be_read_fails_by_name(tmp_path: Path) -> None:
    put(tmp_path, "a.csv")
    (tmp_path / "gone.csv").symlink_to(tmp_path / "nowhere")
    summary = upload_folder(FakeS3(), "lake", "in/", tmp_path)
    assert [(remark.path, remark.reason) for remark in summary.failed] == [(f"{tmp_path}/gone.csv", "No such file or directory")]
    assert summary.exit_code == 1


def test_a_name_that_is_no_text_fails_in_one_printable_line(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/a\n\xff.csv")).write_bytes(b"x")
    summary = upload_folder(FakeS3(), "lake", "in/", tmp_path)
    assert summary.lines()[0] == f"failed {tmp_path}/a\\n\\udcff.csv: its name is not UTF-8, and an S3 key is"


def test_a_large_file_goes_up_in_parts(tmp_path: Path) -> None:
    with (tmp_path / "big.csv").open("wb") as file:
        file.truncate(MULTIPART_BYTES)
    client = FakeS3()
    summary = upload_folder(client, "lake", "in/", tmp_path)
    assert [name for name, _ in client.sent] == ["upload_fileobj"]
    assert {place: len(body) for place, body in client.bodies.items()} == {("lake", "in/big.csv"): MULTIPART_BYTES}
    assert summary.bytes == MULTIPART_BYTES


def test_an_empty_folder_uploads_nothing_and_is_no_failure(tmp_path: Path) -> None:
    summary = upload_folder(FakeS3(), "lake", "in/", tmp_path)
    assert (summary.uploaded, summary.exit_code) == ((), 0)
    assert summary.lines()[0].startswith("s3://lake/in/: 0 uploaded")


@pytest.mark.parametrize("name", ["missing", "file.csv"])
def test_what_is_no_folder_is_refused(tmp_path: Path, name: str) -> None:
    put(tmp_path, "file.csv")
    with pytest.raises(UsageError, match="is not a folder"):
        upload_folder(FakeS3(), "lake", "in/", tmp_path / name)


def test_what_the_stream_would_not_load_is_skipped_and_named(tmp_path: Path) -> None:
    put(tmp_path, "day.csv")
    put(tmp_path, "day.csv.part")
    summary = upload_folder(FakeS3(), "lake", "sales_data", tmp_path, rule=lambda key: "temporary_name" if key.endswith(".part") else None)
    assert summary.uploaded == ("sales_data/day.csv",)
    assert [remark.reason for remark in summary.skipped] == ["the stream does not load it, by the rule temporary_name"]


def test_markers_go_up_after_all_other_files(tmp_path: Path) -> None:
    for name in ("a.csv", "a.csv.done", "z.csv", "z.csv.done"):
        put(tmp_path, name)
    client = FakeS3()
    summary = upload_folder(client, "lake", "sales_data", tmp_path, marker=".done")
    assert sorted(key for _, key in list(client.objects)[:2]) == ["sales_data/a.csv", "sales_data/z.csv"]
    assert len(summary.uploaded) == 4
