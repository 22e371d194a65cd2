"""The configuration is typed, filled in, overridden, decrypted - and every fault is named at once."""

import pickle
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from app.config.credentials import encrypt
from app.config.load import Config, MySqlConfig, S3Config, StreamConfig, describe, home_of, load_config
from app.config.reading import REPOSITORY, read_yaml
from app.config.sections import SECTIONS, TopLevel
from app.errors import ConfigError
from tests.shipped import SHIPPED_CONF

S3 = "s3:\n  bucket: sales\n"
MYSQL = "mysql:\n  host: db\n  user: job\n  password: pw\n  database: sales\n"
EMBEDDED = {
    "SALESTREAM_BUCKET": "local-bucket",
    "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9000",
    "AWS_ACCESS_KEY_ID": "local-key",
    "AWS_SECRET_ACCESS_KEY": "local-secret",
    "AWS_REGION": "us-east-1",
    "SALESTREAM_MYSQL_HOST": "127.0.0.1",
    "SALESTREAM_MYSQL_PORT": "3307",
    "SALESTREAM_MYSQL_USER": "local",
    "SALESTREAM_MYSQL_PASSWORD": "local-password",
    "SALESTREAM_MYSQL_DATABASE": "salestream",
}
CLOUD = {
    "SALESTREAM_BUCKET": "sales",
    "SALESTREAM_MYSQL_HOST": "db",
    "SALESTREAM_MYSQL_USER": "job",
    "SALESTREAM_MYSQL_PASSWORD": "pw",
}
Load = Callable[..., Config]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Write the text as t.yml into an empty folder and load it, with no variables but those given."""

    def write_and_load(text: str = S3 + MYSQL, defaults: dict[str, str] | None = None, **environ: str) -> Config:
        (tmp_path / "t.yml").write_text(text)
        return load_config("t", conf_dir=tmp_path, environ=environ, defaults=defaults)

    return write_and_load


def test_a_file_may_be_loaded_as_another_process_has_read_it(load: Load, tmp_path: Path) -> None:
    config = load()
    (tmp_path / "t.yml").write_text("s3: [")
    again = load_config("t", conf_dir=tmp_path, environ={}, text=config.text)
    assert again == config
    assert config.text not in repr(config)


@pytest.fixture
def fault(load: Load) -> Callable[..., str]:
    """Load what must fail and give the message."""

    def fault_of(text: str = S3 + MYSQL, **arguments: Any) -> str:
        with pytest.raises(ConfigError) as caught:
            load(text, **arguments)
        return str(caught.value)

    return fault_of


# Shipped files


@pytest.mark.parametrize("env", ["dev", "qa", "prod"])
def test_the_shipped_files_have_every_key_and_no_other(env: str) -> None:
    tree = read_yaml(REPOSITORY / "conf" / f"{env}.yml")
    assert set(tree) == set(TopLevel.model_fields) | set(SECTIONS)
    for name, section in SECTIONS.items():
        assert set(tree[name]) == set(section.model_fields), name


@pytest.mark.parametrize("env", ["qa", "prod"])
def test_qa_and_prod_use_the_provider_chain_and_tls(env: str) -> None:
    config = load_config(env, conf_dir=SHIPPED_CONF, environ=CLOUD)
    assert (config.s3.access_key_id, config.s3.secret_access_key, config.s3.endpoint_url) == (None, None, None)
    assert config.mysql.tls == {"qa": "required", "prod": "verify"}[env]


def test_dev_is_the_embedded_servers() -> None:
    config = load_config("dev", conf_dir=SHIPPED_CONF, environ={}, defaults=EMBEDDED)
    assert (config.s3.bucket, config.s3.endpoint_url, config.s3.path_style) == ("local-bucket", "http://127.0.0.1:9000", True)
    assert (config.mysql.host, config.mysql.port, config.mysql.password.get_secret_value()) == ("127.0.0.1", 3307, "local-password")


def test_the_shipped_prefixes_are_those_of_the_mission() -> None:
    s3 = load_config("prod", conf_dir=SHIPPED_CONF, environ=CLOUD).s3
    assert (s3.source_prefix, s3.processed_prefix, s3.error_prefix, s3.facts_prefix, s3.pending_prefix) == (
        "sales_data/",
        "sales_data_processed/",
        "sales_data_error/",
        "sales_facts/",
        "sales_pending/",
    )


def test_dev_without_servers_says_to_start_them() -> None:
    with pytest.raises(ConfigError) as caught:
        load_config("dev", conf_dir=SHIPPED_CONF, environ={})
    assert "run ./spark-submit.sh local up" in str(caught.value)
    assert "conf/dev.yml: s3.bucket: the variable SALESTREAM_BUCKET is not set" in str(caught.value)


# Values


def test_defaults_fill_what_the_file_leaves_out(load: Load) -> None:
    config = load()
    assert (config.s3.region, config.s3.max_connections, config.mysql.port, config.mysql.tls) == ("us-east-1", 32, 3306, "off")
    assert (config.stream.max_files_per_trigger, config.stream.max_bytes_per_trigger) == (1000, 1_073_741_824)
    assert (config.marts.incentive_rate, config.marts.tie_rule) == (Decimal("0.01"), "all")


@pytest.mark.parametrize(
    ("written", "size"), [("10k", 10_240), ("64m", 67_108_864), ("1g", 1_073_741_824), ("1G", 1_073_741_824), ("2 mb", 2_097_152), ("7", 7)]
)
def test_sizes_take_units(load: Load, written: str, size: int) -> None:
    assert load(S3 + MYSQL + f"stream:\n  max_bytes_per_trigger: {written}\n").stream.max_bytes_per_trigger == size


@pytest.mark.parametrize("written", ["0", "-1", "1.5g", "g", "1x", "''", "[1]"])
def test_what_is_no_size_is_a_fault(fault: Callable[..., str], written: str) -> None:
    assert "stream.split_bytes: must be a size such as" in fault(S3 + MYSQL + f"stream:\n  split_bytes: {written}\n")


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("500 milliseconds", "500 milliseconds"),
        ("250ms", "250 milliseconds"),
        ("1 millisecond", "1 milliseconds"),
        ("2 s", "2 seconds"),
        ("1 second", "1 seconds"),
        ("1 minute", "1 minutes"),
        ("3 MINUTES", "3 minutes"),
        ("0 seconds", "0 seconds"),
    ],
)
def test_trigger_intervals_are_normalised(load: Load, written: str, normal: str) -> None:
    assert load(S3 + MYSQL + f"stream:\n  trigger_interval: {written}\n").stream.trigger_interval == normal


@pytest.mark.parametrize("written", ["5", "1 hour", "-1 s", "1.5 s", "soon"])
def test_what_is_no_interval_is_a_fault(fault: Callable[..., str], written: str) -> None:
    assert "stream.trigger_interval: must be a time such as" in fault(S3 + MYSQL + f"stream:\n  trigger_interval: {written}\n")


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        ("stream", "max_files_per_trigger", "x", "must be a positive integer, is 'x'"),
        ("stream", "max_files_per_trigger", "0", "must be a positive integer, is '0'"),
        ("stream", "max_files_per_trigger", "1.5", "must be a positive integer, is '1.5'"),
        ("stream", "max_attempts", "[1, 2]", "must be a positive integer, is a list"),
        ("stream", "settle_seconds", "-1", "must be a number of seconds, 0 or more, is '-1'"),
        ("stream", "takeover_seconds", ".nan", "must be a number of seconds, 0 or more, is '.nan'"),
        ("dimensions", "refresh_seconds", "inf", "must be a number of seconds, 0 or more, is 'inf'"),
        ("marts", "incentive_rate", "1.01", "must be a number from 0 to 1, is '1.01'"),
        ("marts", "incentive_rate", "NaN", "must be a number from 0 to 1, is 'NaN'"),
        ("marts", "tie_rule", "last", "must be one of all, first, is 'last'"),
        ("spark", "driver_memory", "1gb", "must be a whole number and a unit k, m, g or t, such as 1g, is '1gb'"),
        ("spark", "conf", "{ui.port: 1}", "every name must begin with 'spark.' (ui.port does not)"),
        ("logging", "level", "LOUD", "must be one of DEBUG, INFO, WARNING, ERROR, is 'LOUD'"),
        ("logging", "format", "xml", "must be one of text, json, is 'xml'"),
    ],
)
def test_a_wrong_value_is_named_with_file_and_key(fault: Callable[..., str], section: str, key: str, value: str, message: str) -> None:
    assert f"t.yml: {section}.{key}: {message}" in fault(S3 + MYSQL + f"{section}:\n  {key}: {value}\n")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("path_style: maybe", "s3.path_style: must be true or false, is 'maybe'"),
        ("bucket2: x", "s3.bucket2: is not a known key; did you mean s3.bucket?"),
        ("endpoint_url: localhost:9000", "s3.endpoint_url: must begin with http:// or https:// and name a host, is 'localhost:9000'"),
        ("access_key_id: AK", "s3.secret_access_key: must be set together with s3.access_key_id"),
        ("secret_access_key: SK", "s3.secret_access_key: must be set together with s3.access_key_id"),
        ("session_token: ST", "s3.session_token: must not be set without s3.access_key_id"),
        ("source_prefix: in", "s3.source_prefix: must end in / and must not begin with /, is 'in'"),
        ("source_prefix: /in/", "s3.source_prefix: must end in / and must not begin with /, is '/in/'"),
        ("source_prefix: ''", "s3.source_prefix: must not be empty"),
        ("facts_prefix: a//b/", "s3.facts_prefix: must not hold empty parts, '.' or '..', is 'a//b/'"),
        ("facts_prefix: a/../b/", "s3.facts_prefix: must not hold empty parts, '.' or '..', is 'a/../b/'"),
    ],
)
def test_a_wrong_s3_value_is_named(fault: Callable[..., str], line: str, message: str) -> None:
    assert message in fault(S3 + f"  {line}\n" + MYSQL)


@pytest.mark.parametrize("bucket", ["s3://sales", "sales/data", "Sales", "sa", "-sales"])
def test_what_is_no_bucket_name_is_a_fault(fault: Callable[..., str], bucket: str) -> None:
    assert "s3.bucket: must be a bucket name" in fault(f"s3:\n  bucket: {bucket}\n" + MYSQL)


@pytest.mark.parametrize("port", ["0", "65536", "-1", "mysql"])
def test_what_is_no_port_is_a_fault(fault: Callable[..., str], port: str) -> None:
    assert f"mysql.port: must be a port number from 1 to 65535, is '{port}'" in fault(S3 + MYSQL + f"  port: {port}\n")


@pytest.mark.parametrize(("error", "source"), [("in/", "in/"), ("in/errors/", "in/"), ("in/", "in/csv/")])
def test_overlapping_prefixes_are_named_both(fault: Callable[..., str], error: str, source: str) -> None:
    message = fault(S3 + f"  source_prefix: {source}\n  error_prefix: {error}\n" + MYSQL)
    assert f"s3.error_prefix: must not overlap with s3.source_prefix '{source}', is '{error}'" in message


def test_prefixes_that_only_begin_alike_are_disjoint() -> None:
    assert S3Config(bucket="sales", source_prefix="sales_data/", error_prefix="sales_data_error/").error_prefix == "sales_data_error/"


def test_an_overlap_shows_beside_another_bad_field(fault: Callable[..., str]) -> None:
    message = fault("s3:\n  bucket: S\n  source_prefix: a/\n  error_prefix: a/b/\n" + MYSQL)
    assert "s3.bucket:" in message and "s3.error_prefix: must not overlap" in message


@pytest.mark.parametrize("word", ["off", "no", "012", "1e3", "2024-01-01", "12:30:00"])
def test_plain_words_stay_text(load: Load, word: str) -> None:
    assert load(S3 + MYSQL.replace("host: db", f"host: {word}")).mysql.host == word


def test_tls_off_needs_no_quotes(load: Load) -> None:
    assert load(S3 + MYSQL + "  tls: off\n").mysql.tls == "off"


@pytest.mark.parametrize("written", ["", "null", "~"])
def test_null_means_the_default(load: Load, written: str) -> None:
    assert load(S3 + f"  region: {written}\n" + MYSQL).s3.region == "us-east-1"


def test_an_empty_text_means_none_where_none_is_allowed(load: Load) -> None:
    assert load(S3 + "  endpoint_url: ''\n" + MYSQL).s3.endpoint_url is None


def test_extra_spark_settings_stay_text(load: Load) -> None:
    conf = load(S3 + MYSQL + "spark:\n  conf:\n    spark.ui.enabled: false\n    spark.ui.port: 4050\n").spark.conf
    assert conf == {"spark.ui.enabled": "false", "spark.ui.port": "4050"}


def test_a_level_may_be_written_small(load: Load) -> None:
    assert load(S3 + MYSQL + "logging:\n  level: debug\n").logging.level == "DEBUG"


def test_sections_are_frozen(load: Load) -> None:
    config = load()
    with pytest.raises(ValidationError):
        config.s3.bucket = "other"
    with pytest.raises(ValidationError):
        config.s3 = S3Config(bucket="other")


def test_a_configuration_survives_pickling(load: Load) -> None:
    config = load()
    assert pickle.loads(pickle.dumps(config)) == config


def test_a_section_is_checked_when_made_in_code() -> None:
    with pytest.raises(ValidationError):
        StreamConfig(max_attempts=0)


# All faults at once


def test_every_fault_is_named_at_once(fault: Callable[..., str]) -> None:
    message = fault("s3:\n  bucket: S\nmysql:\n  host: db\n  port: x\nstreem: {}\n", SALESTREAM__MARTS__TIE_RULE="none")
    for part in (
        "CONFIG 7 faults: (1) ",
        "t.yml: s3.bucket: must be a bucket name",
        "t.yml: mysql.port: must be a port number",
        "t.yml: mysql.user: is missing",
        "t.yml: mysql.password: is missing",
        "t.yml: mysql.database: is missing",
        "t.yml: streem: is not a known key; did you mean stream?",
        "SALESTREAM__MARTS__TIE_RULE: must be one of all, first, is 'none'",
    ):
        assert part in message


def test_a_fault_is_one_line(fault: Callable[..., str]) -> None:
    assert "\n" not in fault("s3:\n  bucket: |\n    two\n    lines\n")


def test_a_missing_section_names_its_required_keys(fault: Callable[..., str]) -> None:
    message = fault(S3)
    assert "mysql.host: is missing" in message and "mysql.port" not in message


def test_a_section_that_is_no_mapping_is_a_fault(fault: Callable[..., str]) -> None:
    assert "t.yml: stream: must be a mapping of keys to values" in fault(S3 + MYSQL + "stream: 5\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("s3:\n  bucket: [a\nmysql:\n", "t.yml: line 3: "),
        ("s3:\n\tbucket: a\n", "t.yml: line 2: "),
        ("s3:\n  bucket: a\n  bucket: b\n", "t.yml: line 3: the key bucket occurs twice"),
        ("- a\n- b\n", "t.yml: must be a mapping of keys to values"),
        ("mysql:\n  password: *hunter2\n", "t.yml: line 2: a value begins with * or !"),
        ("mysql:\n  password: !hunter2\n", "t.yml: line 2: a value begins with * or !"),
        ("mysql:\n  port: !!int hunter2\n", "t.yml: a value does not fit its !! tag"),
        ("s3:\n  bucket: a\x01b\n", "t.yml: line 2: a character that YAML does not allow"),
    ],
)
def test_malformed_yaml_is_named_by_line_without_its_text(fault: Callable[..., str], text: str, message: str) -> None:
    shown = fault(text)
    assert message in shown and "hunter2" not in shown


def test_an_unknown_environment_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="choose an environment: dev, prod, qa"):
        load_config("staging", conf_dir=SHIPPED_CONF, environ={})


@pytest.mark.parametrize("env", ["../dev", "", "a b", "dev.yml"])
def test_an_environment_is_a_plain_name(env: str) -> None:
    with pytest.raises(ConfigError, match="there is no conf/"):
        load_config(env, environ={})


def test_a_file_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.yml").write_bytes(b"s3: \xff\xfe")
    with pytest.raises(ConfigError, match="t.yml cannot be read: it is not UTF-8"):
        load_config("t", conf_dir=tmp_path, environ={})


# Variables


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("${A}", "one"),
        ("x-${A}-${B}-y", "x-one-two-y"),
        ("${NONE:-other}", "other"),
        ("${EMPTY:-other}", "other"),
        ("${A:-other}", "one"),
        ("'$${A}'", "${A}"),
        ("$$${A}", "$${A}"),
        ("a$b", "a$b"),
        ("'${NONE:-a b:c}'", "a b:c"),
        ("${REFERS}", "${A}"),
    ],
)
def test_variables_are_filled_in(load: Load, written: str, value: str) -> None:
    text = S3 + MYSQL.replace("user: job", f"user: {written}")
    assert load(text, A="one", B="two", EMPTY="", REFERS="${A}").mysql.user == value


def test_missing_variables_are_named_all(fault: Callable[..., str]) -> None:
    message = fault("s3:\n  bucket: ${A}-${B}\n" + MYSQL.replace("host: db", "host: ${C}"))
    assert "t.yml: s3.bucket: the variable A and B is not set" in message and "mysql.host: the variable C is not set" in message


def test_a_missing_variable_is_not_also_a_missing_key(fault: Callable[..., str]) -> None:
    assert "is missing" not in fault("s3:\n  bucket: ${A}\n" + MYSQL)


@pytest.mark.parametrize("written", ["'${A'", "'${1}'", "'${A-b}'", "'${}'"])
def test_a_malformed_variable_is_a_fault(fault: Callable[..., str], written: str) -> None:
    assert "s3.region: holds a ${ that is not" in fault(S3 + f"  region: {written}\n" + MYSQL)


def test_variables_convert_to_the_type_of_the_key(load: Load) -> None:
    config = load(S3 + "  path_style: ${P}\n" + MYSQL + "  port: ${N}\n", P="true", N="3310")
    assert (config.s3.path_style, config.mysql.port) == (True, 3310)


def test_variables_work_in_spark_settings(load: Load) -> None:
    assert load(S3 + MYSQL + "spark:\n  conf:\n    spark.ui.port: ${N}\n", N="4041").spark.conf == {"spark.ui.port": "4041"}


# Embedded servers


def test_the_environment_goes_before_the_embedded_servers() -> None:
    config = load_config("dev", conf_dir=SHIPPED_CONF, environ={"SALESTREAM_MYSQL_HOST": "db"}, defaults=EMBEDDED)
    assert (config.mysql.host, config.mysql.port) == ("db", 3307)


def test_embedded_variables_go_before_a_default(load: Load) -> None:
    text = "embedded: true\n" + S3 + "  region: ${R:-eu-west-1}\n" + MYSQL
    assert load(text, defaults={"R": "us-west-2"}).s3.region == "us-west-2"


def test_embedded_variables_are_not_used_where_embedded_is_false(fault: Callable[..., str]) -> None:
    assert "the variable R is not set" in fault("embedded: false\n" + S3 + "  region: ${R}\n" + MYSQL, defaults={"R": "us-west-2"})


def test_aws_keys_of_the_shell_are_not_sent_to_the_embedded_server() -> None:
    shell = {"AWS_ACCESS_KEY_ID": "real", "AWS_SECRET_ACCESS_KEY": "real", "AWS_SESSION_TOKEN": "real", "AWS_REGION": "eu-west-1"}
    s3 = load_config("dev", conf_dir=SHIPPED_CONF, environ=shell, defaults=EMBEDDED).s3
    assert (s3.access_key_id, s3.session_token, s3.region) == ("local-key", None, "us-east-1")


@pytest.mark.parametrize("endpoint", ["AWS_ENDPOINT_URL_S3", "SALESTREAM__S3__ENDPOINT_URL"])
def test_aws_keys_beside_an_endpoint_are_used(endpoint: str) -> None:
    shell = {"AWS_ACCESS_KEY_ID": "theirs", "AWS_SECRET_ACCESS_KEY": "theirs", endpoint: "http://minio:9000"}
    s3 = load_config("dev", conf_dir=SHIPPED_CONF, environ=shell, defaults=EMBEDDED).s3
    assert (s3.access_key_id, s3.endpoint_url) == ("theirs", "http://minio:9000")


# Overrides


def test_an_override_wins_over_the_file(load: Load) -> None:
    config = load(SALESTREAM__MYSQL__HOST="other", SALESTREAM__STREAM__MAX_FILES_PER_TRIGGER="2", SALESTREAM__MARTS__INCENTIVE_RATE="0.02")
    assert (config.mysql.host, config.stream.max_files_per_trigger, config.marts.incentive_rate) == ("other", 2, Decimal("0.02"))


def test_an_override_spares_the_variable_it_replaces(load: Load) -> None:
    assert load("s3:\n  bucket: ${NOT_SET}\n" + MYSQL, SALESTREAM__S3__BUCKET="mine").s3.bucket == "mine"


def test_an_override_sets_a_key_the_file_lacks(load: Load) -> None:
    assert load(MYSQL, SALESTREAM__S3__BUCKET="mine").s3.bucket == "mine"


def test_an_override_is_taken_as_it_is(load: Load) -> None:
    assert load(SALESTREAM__MYSQL__PASSWORD="a${b}$${c}").mysql.password.get_secret_value() == "a${b}$${c}"


def test_an_override_may_be_written_small(load: Load) -> None:
    assert load(SALESTREAM__mysql__host="other").mysql.host == "other"


def test_an_override_given_twice_is_a_fault(fault: Callable[..., str]) -> None:
    assert "sets mysql.host a second time" in fault(SALESTREAM__MYSQL__HOST="a", SALESTREAM__mysql__host="b")


def test_an_unknown_override_is_named_by_its_variable(fault: Callable[..., str]) -> None:
    message = fault(SALESTREAM__STREAM__MAX_FILES="4")
    assert "SALESTREAM__STREAM__MAX_FILES: is not a known key; did you mean SALESTREAM__STREAM__MAX_FILES_PER_TRIGGER?" in message


def test_a_wrong_override_is_named_by_its_variable(fault: Callable[..., str]) -> None:
    assert "SALESTREAM__MYSQL__PORT: must be a port number from 1 to 65535, is 'x'" in fault(SALESTREAM__MYSQL__PORT="x")


def test_an_empty_override_clears_an_optional_key(load: Load) -> None:
    assert load(S3 + "  endpoint_url: http://x\n" + MYSQL, SALESTREAM__S3__ENDPOINT_URL="").s3.endpoint_url is None


def test_spark_settings_are_overridden_as_a_mapping(load: Load) -> None:
    assert load(SALESTREAM__SPARK__CONF="{spark.ui.port: 4041}").spark.conf == {"spark.ui.port": "4041"}


def test_top_level_keys_are_overridden_too(load: Load) -> None:
    assert load(SALESTREAM__EMBEDDED="true").embedded is True


# Secrets


def test_encrypted_values_are_opened_wherever_they_stand(load: Load) -> None:
    text = S3 + MYSQL.replace("password: pw", f"password: {encrypt('opened', key='k')}").replace("user: job", "user: ${U}")
    config = load(text, SALESTREAM_KEY="k", U=encrypt("someone", key="k"), SALESTREAM__MYSQL__HOST=encrypt("hidden-host", key="k"))
    assert (config.mysql.password.get_secret_value(), config.mysql.user, config.mysql.host) == ("opened", "someone", "hidden-host")


def test_an_encrypted_value_without_a_key_is_a_fault_of_its_key(fault: Callable[..., str]) -> None:
    assert "t.yml: mysql.password: there is no key" in fault(S3 + MYSQL.replace("pw", encrypt("opened", key="k")))


def test_an_encrypted_value_with_a_wrong_key_is_a_fault_of_its_key(fault: Callable[..., str]) -> None:
    message = fault(S3 + MYSQL.replace("pw", encrypt("opened", key="k")), SALESTREAM_KEY="other")
    assert "t.yml: mysql.password: an encrypted value does not open: wrong key" in message


def test_a_token_of_an_unknown_version_is_never_used_as_a_value(fault: Callable[..., str]) -> None:
    assert "mysql.password: an encrypted value is malformed" in fault(S3 + MYSQL.replace("pw", "enc:v9:abc"), SALESTREAM_KEY="k")


@pytest.mark.parametrize("shown", [repr, str, lambda config: repr(config.s3) + repr(config.mysql) + repr(config.spark)])
def test_secrets_are_not_in_the_repr(load: Load, shown: Callable[[Config], str]) -> None:
    text = S3 + "  access_key_id: AK\n  secret_access_key: MARK1\n  session_token: MARK2\n" + MYSQL.replace("pw", "MARK3")
    assert "MARK" not in shown(load(text + "spark:\n  conf:\n    spark.hadoop.x.password: MARK4\n"))


@pytest.mark.parametrize(
    "text",
    [
        S3 + MYSQL.replace("password: pw", "password: [MARK]"),
        S3 + MYSQL.replace("password: pw", "pasword: MARK"),
        S3 + "  secret_access_key: MARK\n" + MYSQL,
        S3 + "  session_token: MARK\n" + MYSQL,
        S3 + "  endpoint_url: http://user:MARK@host\n" + MYSQL,
        S3 + MYSQL + "  port: ${DB_PASSWORD}\n",
        S3 + MYSQL + f"  port: {encrypt('MARK', key='k')}\n",
        S3 + MYSQL + "spark:\n  conf: {spark.password: [MARK], password: MARK}\n",
    ],
)
def test_secrets_are_not_in_a_fault(fault: Callable[..., str], text: str) -> None:
    assert "MARK" not in fault(text, DB_PASSWORD="MARK", SALESTREAM_KEY="k")


# Places


def test_home_is_below_the_repository_or_where_the_variable_says(tmp_path: Path) -> None:
    assert home_of({}) == REPOSITORY / ".local"
    assert home_of({"SALESTREAM_HOME": str(tmp_path)}) == tmp_path


def test_checkpoints_follow_home(load: Load, tmp_path: Path) -> None:
    assert load().checkpoint_root == REPOSITORY / "checkpoints" / "t"
    assert load(SALESTREAM_HOME=str(tmp_path)).checkpoint_root == tmp_path / "checkpoints" / "t"


def test_relative_paths_have_a_fixed_base(load: Load, tmp_path: Path) -> None:
    config = load(S3 + MYSQL + "  tls_ca: ca.pem\nlogging:\n  file: log/run.log\n", SALESTREAM_HOME="/srv/home")
    assert (config.contract_path, config.mysql.tls_ca) == (tmp_path / "contract.yml", tmp_path / "ca.pem")
    assert config.logging.file == Path("/srv/home/log/run.log")


# Where it came from


def test_describe_says_where_each_value_came_from(load: Load, tmp_path: Path) -> None:
    text = "embedded: true\n" + S3 + "  region: ${R}\n  endpoint_url: ${E}\n" + MYSQL.replace("pw", encrypt("opened", key="k"))
    config = load(text, {"E": "http://x"}, R="eu", SALESTREAM_KEY="k", SALESTREAM__MYSQL__HOST="h")
    shown = {key: (value, origin.replace(f"{tmp_path}/", "")) for key, value, origin in describe(config)}
    assert shown["s3.bucket"] == ("sales", "t.yml")
    assert shown["s3.region"] == ("eu", "t.yml, $R")
    assert shown["s3.endpoint_url"] == ("http://x", "t.yml, embedded $E")
    assert shown["s3.max_connections"] == ("32", "default")
    assert shown["mysql.host"] == ("h", "SALESTREAM__MYSQL__HOST")
    assert shown["mysql.password"] == ("***", "t.yml, encrypted")
    assert shown["s3.access_key_id"] == ("-", "default")
    assert shown["embedded"] == ("true", "t.yml")


def test_describe_names_every_key_once(load: Load) -> None:
    keys = [setting.key for setting in describe(load())]
    assert len(keys) == len(set(keys)) == len(TopLevel.model_fields) + sum(len(section.model_fields) for section in SECTIONS.values())


def test_describe_hides_what_is_secret_by_type_origin_or_name(load: Load) -> None:
    text = S3 + "  region: ${AWS_SECRET}\n" + MYSQL.replace("pw", "MARK").replace("user: job", f"user: {encrypt('MARK', key='k')}")
    config = load(text + "spark:\n  conf: {spark.my.password: MARK, spark.a: b}\n", SALESTREAM_KEY="k", AWS_SECRET="MARK")
    shown = {setting.key: setting.value for setting in describe(config)}
    assert "MARK" not in str(shown)
    assert shown["spark.conf"] == "spark.my.password=***, spark.a=b"


def test_describe_works_on_a_configuration_made_in_code() -> None:
    mysql = MySqlConfig(host="h", user="u", password=SecretStr("MARK"), database="d")
    config = Config(env="t", s3=S3Config(bucket="sales"), mysql=mysql, checkpoint_root=Path("/c"))
    assert ("mysql.password", "***", "default") in describe(config)
