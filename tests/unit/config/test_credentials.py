"""Tokens open only with their key and only unchanged."""

import base64
import re
from pathlib import Path

import pytest

from app.config import credentials
from app.config.credentials import NEW_KEY, decrypt, encrypt, load_key, rotate, rotate_files
from app.errors import CredentialError

# Made once with the key "correct horse" from "s3cret pässword"; it must open in every later version.
KEY = "correct horse"
TOKEN = "enc:v1:DggBRUBQC3R734azRxRCwJSPkiH2p72-T-MMDAMqDFm4cLxWgQEK00jw-h1Cuf7MQOhCxWJGsZ4lZw_m1KSM"


@pytest.fixture(autouse=True)
def cheap_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests are about the cipher; scrypt at full cost is paid where a test opens TOKEN."""
    monkeypatch.setattr(credentials, "_LOG2_N", 1)


def key_file(tmp_path: Path, text: str, mode: int = 0o600) -> dict[str, str]:
    path = tmp_path / "key"
    path.write_text(text)
    path.chmod(mode)
    return {"SALESTREAM_KEY_FILE": str(path)}


@pytest.mark.parametrize("raw", ["secret", "", "pässwörd ☃", "a: b # c\n", "x" * 5000, "enc:v1:abc"])
def test_what_was_encrypted_comes_back(raw: str) -> None:
    assert decrypt(encrypt(raw, key=KEY), key=KEY) == raw


def test_a_token_of_the_first_version_still_opens() -> None:
    assert decrypt(TOKEN, key=KEY) == "s3cret pässword"


def test_a_token_says_what_its_key_cost() -> None:
    assert tuple(base64.urlsafe_b64decode(TOKEN[7:11])) == (14, 8, 1)


def test_a_token_is_one_yaml_word_with_its_version() -> None:
    token = encrypt("secret", key=KEY)
    assert token.startswith("enc:v1:")
    assert set(token[7:]) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


def test_the_same_value_encrypts_differently_each_time() -> None:
    assert encrypt("secret", key=KEY) != encrypt("secret", key=KEY)


def test_the_value_does_not_show_in_the_token() -> None:
    assert b"secret" not in base64.urlsafe_b64decode(encrypt("secret", key=KEY)[7:] + "==")


@pytest.mark.parametrize("wrong", ["correct horse ", "Correct horse", "x", "correct hors"])
def test_a_wrong_key_is_an_error(wrong: str) -> None:
    with pytest.raises(CredentialError, match="wrong key"):
        decrypt(TOKEN, key=wrong)


def test_two_hundred_wrong_keys_are_two_hundred_errors() -> None:
    token = encrypt("secret", key=KEY)
    for number in range(200):
        with pytest.raises(CredentialError):
            decrypt(token, key=f"wrong {number}")


def test_any_changed_character_is_an_error() -> None:
    token = encrypt("secret", key=KEY)
    for at in range(len(token)):
        changed = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        with pytest.raises(CredentialError):
            decrypt(changed, key=KEY)


def test_spare_bits_of_the_last_character_may_not_change() -> None:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    token = next(t for t in iter(lambda: encrypt("secret", key=KEY), "") if len(t[7:]) % 4)
    twin = token[:-1] + alphabet[alphabet.index(token[-1]) ^ 1]
    with pytest.raises(CredentialError, match="malformed"):
        decrypt(twin, key=KEY)


@pytest.mark.parametrize(
    "broken", ["", "enc:v1:", "enc:v1:abc", "enc:v2:" + TOKEN[7:], TOKEN[7:], TOKEN + "=", TOKEN + " ", TOKEN[:-4], "enc:v1:ä"]
)
def test_what_is_not_a_token_is_an_error(broken: str) -> None:
    with pytest.raises(CredentialError):
        decrypt(broken, key=KEY)


def test_expensive_parameters_are_refused_before_they_are_paid_for() -> None:
    data = bytearray(base64.urlsafe_b64decode(TOKEN[7:] + "=" * (-len(TOKEN[7:]) % 4)))
    data[0] = 31
    with pytest.raises(CredentialError, match="out of range"):
        decrypt("enc:v1:" + base64.urlsafe_b64encode(bytes(data)).decode().rstrip("="), key=KEY)


def test_an_error_holds_neither_key_nor_token() -> None:
    with pytest.raises(CredentialError) as caught:
        decrypt(TOKEN, key="wrong-key-marker")
    assert "wrong-key-marker" not in str(caught.value)
    assert TOKEN[7:20] not in str(caught.value)


def test_the_error_has_its_code_and_exit_code() -> None:
    assert (CredentialError.code, CredentialError.exit_code) == ("CREDENTIAL", 2)


def test_one_argument_takes_the_key_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SALESTREAM_KEY", "from the environment")
    assert decrypt(encrypt("secret")) == "secret"
    assert decrypt(encrypt("secret"), key="from the environment") == "secret"


def test_the_variable_goes_before_the_file(tmp_path: Path) -> None:
    assert load_key({"SALESTREAM_KEY": "one", **key_file(tmp_path, "two")}) == "one"


def test_the_key_file_is_read_without_its_line_end(tmp_path: Path) -> None:
    assert load_key(key_file(tmp_path, "my key\n")) == "my key"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o622, 0o777])
def test_a_key_file_that_others_can_use_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(CredentialError, match="chmod 600"):
        load_key(key_file(tmp_path, "my key", mode))


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_key_file_of_the_owner_alone_is_taken(tmp_path: Path, mode: int) -> None:
    assert load_key(key_file(tmp_path, "my key", mode)) == "my key"


def test_an_empty_key_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CredentialError, match="is empty"):
        load_key(key_file(tmp_path, " \n"))


def test_a_missing_key_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CredentialError, match="nowhere cannot be read"):
        load_key({"SALESTREAM_KEY_FILE": str(tmp_path / "nowhere")})


@pytest.mark.parametrize("environ", [{}, {"SALESTREAM_KEY": ""}, {"SALESTREAM_KEY": " ", "SALESTREAM_KEY_FILE": ""}])
def test_no_key_says_which_variables_to_set(environ: dict[str, str]) -> None:
    with pytest.raises(CredentialError, match="SALESTREAM_KEY_FILE"):
        load_key(environ)


def test_an_empty_key_is_an_error() -> None:
    with pytest.raises(CredentialError, match="key is empty"):
        encrypt("secret", key="")


def test_rotation_keeps_every_other_byte() -> None:
    text = f"# comment  \r\nmysql:\n  password: {TOKEN}   # kept\n  user: 'u'\n\n\n  other: \"{TOKEN}\"\n# enc:v1:... is a token"
    rotated = rotate(text, KEY, "new key")
    before, between, after = "# comment  \r\nmysql:\n  password: ", "   # kept\n  user: 'u'\n\n\n  other: \"", '"\n# enc:v1:... is a token'
    first, second = rotated[len(before) :].split(between)
    assert rotated.startswith(before) and second.endswith(after)
    assert decrypt(first, key="new key") == "s3cret pässword"
    assert decrypt(second.removesuffix(after), key="new key") == "s3cret pässword"


def test_rotation_leaves_no_token_of_the_old_key() -> None:
    rotated = rotate(f"a: {TOKEN}\n", KEY, "new key")
    with pytest.raises(CredentialError):
        decrypt(rotated[3:-1], key=KEY)


def test_rotation_with_a_wrong_old_key_names_the_line() -> None:
    with pytest.raises(CredentialError, match="line 3"):
        rotate(f"a: 1\n\nb: {TOKEN}\n", "wrong", "new key")


def test_a_text_without_tokens_stays_as_it_is() -> None:
    assert rotate("a: 1 # enc:v2:x\r\n", KEY, "new key") == "a: 1 # enc:v2:x\r\n"


# Rotation in place

LAYOUT = "# keys\r\na: {} # the first\nb:   plain\nc: '{}'\n"


def test_rotation_renews_every_token_of_a_folder_and_keeps_all_other_text(tmp_path: Path) -> None:
    text = LAYOUT.format(encrypt("one", key="old"), encrypt("two", key="old"))
    (tmp_path / "prod.yml").write_bytes(text.encode())
    (tmp_path / "dev.yml").write_text("a: 1\n")
    (tmp_path / "prod.yml").chmod(0o640)
    assert rotate_files([tmp_path], "old", "new") == {tmp_path / "prod.yml": 2}
    found = (tmp_path / "prod.yml").read_bytes().decode()
    tokens = re.findall(r"enc:v1:[\w=-]+", found)
    assert [decrypt(token, key="new") for token in tokens] == ["one", "two"]
    assert found == LAYOUT.format(*tokens)
    assert (tmp_path / "prod.yml").stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dev.yml", "prod.yml"]


def test_rotation_changes_no_file_when_one_token_does_not_open(tmp_path: Path) -> None:
    good = tmp_path / "a.yml"
    good.write_text(f"a: {encrypt('one', key='old')}\n")
    (tmp_path / "b.yml").write_text(f"x: 1\nb: {encrypt('two', key='other')}\n")
    before = good.read_text()
    with pytest.raises(CredentialError, match=r"b\.yml: line 2: .*no file was changed"):
        rotate_files([tmp_path], "old", "new")
    assert good.read_text() == before


def test_rotation_that_was_cut_between_two_files_is_done_again(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(f"a: {encrypt('one', key='new')}\n")
    (tmp_path / "b.yml").write_text(f"b: {encrypt('two', key='old')}\n")
    assert rotate_files([tmp_path], "old", "new") == {tmp_path / "b.yml": 1}
    assert rotate_files([tmp_path], "old", "new") == {}


def test_rotation_follows_a_link_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "prod.yml").write_text(f"a: {encrypt('one', key='old')}\n")
    link = tmp_path / "prod.yml"
    link.symlink_to(tmp_path / "real" / "prod.yml")
    rotate_files([link], "old", "new")
    assert link.is_symlink()
    assert decrypt(link.read_text().split()[1], key="new") == "one"


def test_rotation_names_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(CredentialError, match="nowhere.yml cannot be read: No such file"):
        rotate_files([tmp_path / "nowhere.yml"], "old", "new")


def test_the_new_key_has_a_variable_and_a_file_of_its_own(tmp_path: Path) -> None:
    assert load_key({"SALESTREAM_KEY": "a", "SALESTREAM_NEW_KEY": "b"}, NEW_KEY) == "b"
    with pytest.raises(CredentialError, match="set SALESTREAM_NEW_KEY, or SALESTREAM_NEW_KEY_FILE"):
        load_key({"SALESTREAM_KEY": "a"}, NEW_KEY)
