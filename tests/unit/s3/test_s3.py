"""S3: which errors may pass by themselves, what counts as the same version, and where a finished file goes."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    PartialCredentialsError,
    ReadTimeoutError,
)
from pydantic import SecretStr

from app import version
from app.config.load import Config, S3Config
from app.errors import PipelineError, S3Error, S3Unavailable
from app.ledger.types import SourceFile
from app.s3.read import ObjectVersion, _session, head, is_same_version, key_source, list_all, list_page, make_client, translated
from app.s3.write import copy_version, delete_below, delete_keys, delete_version
from app.sinks.archive import target_key
from app.spark.session import settings
from tests.doubles import FakeS3, PliantS3, refused

AT = datetime(2024, 1, 1, 10, 0, 0, 999000, tzinfo=UTC)
VERSION = ObjectVersion("lake", "sales_data/a.csv", "e1", 3, AT)
URL = "http://127.0.0.1:9"
OWN_KEYS = {"access_key_id": "a", "secret_access_key": "s"}


# Errors


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_busy_server_is_transient(status: int) -> None:
    with pytest.raises(S3Unavailable, match=f"s3://lake/x: {status} SlowDown please"), translated("s3://lake/x"):
        raise refused(status, "SlowDown", "please")


def test_a_clock_that_is_wrong_for_a_while_is_waited_for() -> None:
    with (
        pytest.raises(S3Unavailable, match="403 RequestTimeTooSkewed .*; set this machine's clock by NTP") as caught,
        translated("s3://lake/x"),
    ):
        raise refused(403, "RequestTimeTooSkewed", "The difference between the request time and the current time is too large.")
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 412])
def test_a_refusal_is_terminal(status: int) -> None:
    with pytest.raises(S3Error, match=f"s3://lake/x: {status} AccessDenied no"), translated("s3://lake/x"):
        raise refused(status, "AccessDenied", "no")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (EndpointConnectionError(endpoint_url=URL), S3Unavailable),
        (ConnectTimeoutError(endpoint_url=URL), S3Unavailable),
        (ReadTimeoutError(endpoint_url=URL), S3Unavailable),
        (NoCredentialsError(), S3Error),
        (PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"), S3Error),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_no_connection_is_transient_and_no_credentials_are_terminal(error: BotoCoreError, kind: type[PipelineError]) -> None:
    with pytest.raises(kind, match=r"^\S+ s3://lake/x: ") as caught, translated("s3://lake/x"):
        raise error
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("name", ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"])
def test_a_profile_that_is_not_there_is_named_where_its_keys_are_asked_for_and_nobodys_business_elsewhere(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "nobody-has-it")
    _session.cache_clear()
    own = S3Config.model_validate({"endpoint_url": URL, **OWN_KEYS})
    assert make_client(own).meta.endpoint_url == URL
    for ask in (make_client, key_source):
        with pytest.raises(S3Error, match=r"AWS provider chain: The config profile \(nobody-has-it\) could not be found"):
            ask(S3Config())


@pytest.mark.parametrize(
    ("url", "proxied"),
    [
        ("http://127.0.0.1:9000", False),
        ("http://127.3.2.1:9000", False),
        ("http://localhost:9000", False),
        ("https://[::1]:9000", False),
        ("https://s3.example.com", True),
        ("http://10.0.0.7:9000", True),
        (None, True),
    ],
)
def test_only_a_server_elsewhere_is_asked_through_the_proxy_of_the_shell(
    monkeypatch: pytest.MonkeyPatch, url: str | None, proxied: bool
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://proxy.example.com:3128")
    config = S3Config.model_validate({"endpoint_url": url, **OWN_KEYS})
    assert bool(make_client(config)._endpoint.http_session._proxy_config._proxies) is proxied


def test_an_answer_without_a_status_is_terminal_and_has_no_ragged_end() -> None:
    with pytest.raises(S3Error) as caught, translated("s3://lake/x"):
        raise ClientError({}, "PutObject")
    assert caught.value.what == "s3://lake/x: 0"


def test_other_errors_pass_unchanged() -> None:
    with pytest.raises(ZeroDivisionError), translated("s3://lake/x"):
        raise ZeroDivisionError


# The same version


def test_a_head_in_seconds_and_a_listing_in_milliseconds_are_the_same_version() -> None:
    seen_by_head = replace(VERSION, last_modified=AT.replace(microsecond=0))
    assert is_same_version(seen_by_head, VERSION)
    assert is_same_version(VERSION, seen_by_head)


@pytest.mark.parametrize(
    "change", [{"etag": "e2"}, {"size": 4}, {"last_modified": AT.replace(second=1, microsecond=0)}], ids=["etag", "size", "time"]
)
def test_another_etag_size_or_second_is_another_version(change: dict[str, Any]) -> None:
    assert not is_same_version(replace(VERSION, **change), VERSION)


# Requests


def test_a_page_has_versions_with_bare_etags_and_says_whether_more_follow() -> None:
    client = FakeS3.with_versions(*[replace(VERSION, key=f"sales_data/{name}.csv") for name in "abc"], page=2)
    page, more = list_page(client, "lake", "sales_data/")
    assert (page[0], [v.key for v in page], more) == (VERSION, ["sales_data/a.csv", "sales_data/b.csv"], True)
    assert list_page(client, "lake", "sales_data/", start_after="sales_data/b.csv") == ([replace(VERSION, key="sales_data/c.csv")], False)


def test_an_empty_prefix_is_an_empty_page() -> None:
    assert list_page(FakeS3(), "lake", "sales_data/") == ([], False)


def test_all_pages_are_walked() -> None:
    keys = [f"sales_data/{name}" for name in "abcde"]
    client = FakeS3.with_versions(*[replace(VERSION, key=key) for key in [*keys, "other/x"]], page=2)
    assert [version.key for version in list_all(client, "lake", "sales_data/")] == keys


@pytest.mark.parametrize(("status", "kind"), [(403, S3Error), (503, S3Unavailable)])
def test_a_listing_that_fails_names_bucket_and_prefix(status: int, kind: type[PipelineError]) -> None:
    with pytest.raises(kind, match=r"s3://lake/sales_data/: "):
        list_page(FakeS3().failing(refused(status), "list_objects_v2"), "lake", "sales_data/")


def test_what_is_not_there_has_no_head() -> None:
    assert head(FakeS3(), "lake", "sales_data/a.csv") is None


def test_a_refused_head_is_an_error_and_not_an_absence() -> None:
    with pytest.raises(S3Error, match="s3://lake/sales_data/a.csv: 403"):
        head(FakeS3().failing(refused(403), "head_object"), "lake", "sales_data/a.csv")


def test_only_the_booked_version_is_copied() -> None:
    client = FakeS3.with_versions(VERSION)
    # The MD5 of three x.
    assert copy_version(client, VERSION, "sales_data_processed/a.csv") == "f561aaf6ef0bf14d4208bb46a4ccb3ad"
    assert client.bodies["lake", "sales_data_processed/a.csv"] == b"xxx"
    assert client.requests("copy_object") == [
        {
            "Bucket": "lake",
            "Key": "sales_data_processed/a.csv",
            "CopySource": {"Bucket": "lake", "Key": "sales_data/a.csv"},
            "CopySourceIfMatch": "e1",
        }
    ]


@pytest.mark.parametrize("client", [FakeS3(), FakeS3.with_versions(replace(VERSION, etag="e2"))], ids=["gone", "overwritten"])
def test_a_version_that_is_gone_is_not_copied(client: FakeS3) -> None:
    before = client.keys()
    assert copy_version(client, VERSION, "x") is None
    assert len(client.requests("copy_object")) == 1
    assert client.keys() == before


def test_a_refused_copy_is_an_error() -> None:
    with pytest.raises(S3Error, match="s3://lake/sales_data/a.csv -> x: 403"):
        copy_version(FakeS3.with_versions(VERSION).failing(refused(403), "copy_object"), VERSION, "x")


def test_the_booked_version_is_deleted_under_its_etag() -> None:
    client = FakeS3.with_versions(VERSION)
    assert delete_version(client, VERSION)
    assert client.keys() == []
    assert client.requests("delete_object") == [{"Bucket": "lake", "Key": "sales_data/a.csv", "IfMatch": "e1"}]


def test_a_newer_version_is_never_deleted() -> None:
    client = FakeS3.with_versions(replace(VERSION, etag="e2"))
    assert not delete_version(client, VERSION)
    assert client.requests("delete_object") == []


def test_a_version_replaced_at_the_last_moment_stays() -> None:
    client = PliantS3(VERSION)
    client.faults["delete"] = refused(412)
    client.before["delete"] = lambda: client.objects.update({VERSION.key: replace(VERSION, etag="e2")})
    assert not delete_version(client, VERSION)


def test_what_is_gone_already_counts_as_deleted() -> None:
    assert delete_version(FakeS3(), VERSION)
    client = PliantS3(VERSION)
    client.faults["delete"] = refused(404, "NoSuchKey")
    client.before["delete"] = client.objects.clear
    assert delete_version(client, VERSION)


def test_many_keys_are_deleted_a_thousand_at_a_time() -> None:
    client = FakeS3()
    delete_keys(client, "lake", [str(number) for number in range(2001)])
    assert [len(request["Delete"]["Objects"]) for request in client.requests("delete_objects")] == [1000, 1000, 1]


def test_a_key_that_cannot_be_deleted_is_named() -> None:
    with pytest.raises(S3Error, match="s3://lake/k: AccessDenied no"):
        delete_keys(FakeS3(locked={"k"}), "lake", ["k"])


def test_only_what_is_wanted_below_a_prefix_is_deleted() -> None:
    client = FakeS3.with_versions(*[replace(VERSION, key=key) for key in ("p/keep", "p/go1", "p/go2", "q/go")])
    assert delete_below(client, "lake", "p/", lambda key: "go" in key) == 2
    assert client.keys() == ["p/keep", "q/go"]


# Where a finished file goes


def finished(key: str, state: str = "COMMITTED", number: int = 42) -> SourceFile:
    return SourceFile(number, replace(VERSION, key=key), state, datetime(2024, 5, 1, 23, 59))


@pytest.mark.parametrize(
    ("state", "folder"),
    [
        ("COMMITTED", "sales_data_processed"),
        ("DUPLICATE", "sales_data_processed"),
        ("REJECTED", "sales_data_error"),
        ("FAILED", "sales_data_error"),
    ],
)
def test_a_file_goes_below_the_day_and_its_id(config: Config, state: str, folder: str) -> None:
    assert target_key(config, finished("sales_data/2024/a.csv", state)) == f"{folder}/2024-05-01/42/2024/a.csv"


def test_the_same_name_again_goes_elsewhere(config: Config) -> None:
    key = "sales_data/a.csv"
    assert target_key(config, finished(key, number=1)) != target_key(config, finished(key, number=2))


@pytest.mark.parametrize("name", ["sales_data/a.csv", "é ü/ö.csv", "a//b.csv", "../x.csv", "%41+ .csv", "my_sales_data.csv"])
def test_only_the_source_prefix_itself_is_taken_off(config: Config, name: str) -> None:
    assert target_key(config, finished(f"sales_data/{name}")) == f"sales_data_processed/2024-05-01/42/{name}"


FOLDER = "sales_data_processed/2024-05-01/42/"  # 35 bytes: a name may have 989


@pytest.mark.parametrize("length", [989, 990, 1013])
def test_a_key_that_would_be_too_long_loses_its_beginning(config: Config, length: int) -> None:
    key = f"sales_data/{'b' * (length - 5)}e.csv"
    target = target_key(config, finished(key))
    assert len(key.encode()) <= 1024
    assert target == FOLDER + "b" * (984 if length > 989 else length - 5) + "e.csv"
    assert len(target.encode()) <= 1024


@pytest.mark.parametrize("letter", ["é", "मी", "😀"])
@pytest.mark.parametrize("ending", ["", "x", "xy", "xyz"])
def test_a_cut_never_splits_a_letter(config: Config, letter: str, ending: str) -> None:
    # Room for 989 bytes of a name of up to 1013: the cut falls into a letter for at least one of the endings.
    name = letter * ((1013 - len(ending)) // len(letter.encode())) + ending
    target = target_key(config, finished(f"sales_data/{name}"))
    kept = target.removeprefix(FOLDER)
    assert name.endswith(kept)
    assert 989 - 4 < len(kept.encode()) <= 989


def test_every_request_names_the_product_in_the_buckets_access_log(config: Config) -> None:
    sent: set[bytes] = set()

    def keep(request: Any, **_: Any) -> Any:
        agent = request.headers["User-Agent"]
        sent.add(agent if isinstance(agent, bytes) else agent.encode())
        raise EndpointConnectionError(endpoint_url=URL)

    keys = {"access_key_id": "key", "secret_access_key": SecretStr("secret")}
    client = make_client(config.s3.model_copy(update=keys), attempts=1)
    client.meta.events.register("before-send.s3.HeadObject", keep)
    with pytest.raises(S3Unavailable):
        head(client, "lake", "a.csv")
    assert [agent.split()[0].decode() for agent in sent] == [f"salestream/{version.VERSION}"]
    assert settings(config)["spark.hadoop.fs.s3a.user.agent.prefix"] == f"salestream/{version.VERSION}"
