"""The beginning of a file: what it is, its delimiter, its columns, or the one reason why it is rejected."""

from __future__ import annotations

import pytest

from app.contract.contract import Contract
from app.parsing.preamble import FILE_REASONS, MOST_CACHED_NAMES, UTF8_BOM, CachedMatcher, FileFault, Preamble, read_preamble
from app.parsing.record_rules import Limits

NAMES = ("customer_id", "store_id", "product_name", "sales_date", "sales_person_id", "price", "quantity", "total_cost")
HEADER = ",".join(NAMES).encode()
ROW = b"1,121,sugar,2024-01-31,1,50.00,2,100.00\n"


def read(head: bytes, contract: Contract, *, is_all: bool = True, encoding: str = "utf-8") -> Preamble | FileFault:
    return read_preamble(head, is_all=is_all, contract=contract, encoding=encoding, limits=Limits())


def good(head: bytes, contract: Contract) -> Preamble:
    found = read(head, contract)
    assert isinstance(found, Preamble), found
    return found


def reason(head: bytes, contract: Contract, *, is_all: bool = True) -> str:
    found = read(head, contract, is_all=is_all)
    assert isinstance(found, FileFault), found
    assert found.code in FILE_REASONS
    return found.code


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_the_one_under_which_the_header_matches(contract: Contract, delimiter: str) -> None:
    found = good(HEADER.replace(b",", delimiter.encode()) + b"\n", contract)
    assert (found.layout.delimiter, found.layout.names) == (delimiter, NAMES)


@pytest.mark.parametrize(("ending", "size"), [(b"\n", 1), (b"\r\n", 2), (b"", 0)])
def test_records_begin_behind_the_headers_line_break(contract: Contract, ending: bytes, size: int) -> None:
    found = good(HEADER + ending, contract)
    assert (found.size, found.lines) == (len(HEADER) + size, 1)


def test_a_byte_order_mark_is_no_part_of_the_first_name(contract: Contract) -> None:
    found = good(UTF8_BOM + HEADER + b"\n" + ROW, contract)
    assert found.layout.names[0] == "customer_id"
    assert found.size == 3 + len(HEADER) + 1


def test_a_byte_order_mark_wins_over_the_contracts_encoding(contract: Contract) -> None:
    found = read(UTF8_BOM + HEADER + ",Größe\n".encode(), contract, encoding="windows-1252")
    assert isinstance(found, Preamble)
    assert (found.layout.encoding, found.layout.names[-1], found.text[-5:]) == ("utf-8", "Größe", "Größe")
    found = read(HEADER + ",Größe\n".encode("windows-1252"), contract, encoding="windows-1252")
    assert isinstance(found, Preamble)
    assert (found.layout.encoding, found.layout.names[-1]) == ("windows-1252", "Größe")


@pytest.mark.parametrize("encoding", ["utf-8", "windows-1252"])
@pytest.mark.parametrize(
    ("codec", "said"),
    [
        ("utf-16", "UTF-16"),
        ("utf-16-be", "UTF-16"),
        ("utf-32", "UTF-32"),
        ("utf-32-be", "UTF-32"),
        ("gb18030", "GB18030"),
        ("utf-7", "UTF-7"),
    ],
)
def test_the_byte_order_mark_of_another_encoding_is_named(contract: Contract, encoding: str, codec: str, said: str) -> None:
    mark = "" if codec in ("utf-16", "utf-32") else "\ufeff"
    found = read((mark + HEADER.decode() + "\n").encode(codec), contract, encoding=encoding)
    assert found == FileFault("NOT_CSV", f"the file is {said}; save it as UTF-8")


def test_line_breaks_of_several_crs_end_the_header(contract: Contract) -> None:
    for header in (HEADER, b'"' + HEADER.replace(b",", b'","') + b'"'):
        found = good(header + b"\r\r\n" + ROW, contract)
        assert (found.layout.names, found.size, found.lines, found.text) == (NAMES, len(header) + 3, 1, header.decode())


def test_the_cache_of_headers_does_not_grow_with_the_files(contract: Contract) -> None:
    matcher = CachedMatcher(contract)
    for n in range(3000):
        assert not matcher.match_header([*NAMES, f"extra {n}"]).reason
    assert sum(map(len, matcher._known)) <= MOST_CACHED_NAMES
    wide = matcher.match_header([*NAMES, *map(str, range(MOST_CACHED_NAMES))])
    assert wide.width == len(NAMES) + MOST_CACHED_NAMES
    assert len(matcher._known) == 0


def test_blank_lines_before_the_header_count_as_lines(contract: Contract) -> None:
    found = good(UTF8_BOM + b"\r\n  \n" + HEADER + b"\n", contract)
    assert (found.lines, found.size) == (3, 3 + 2 + 3 + len(HEADER) + 1)


def test_a_first_name_that_is_blank_is_a_column_of_its_own(contract: Contract) -> None:
    found = good(b"\n\t" + HEADER.replace(b",", b"\t") + b"\n", contract)
    assert found.layout.names == ("_column_1", *NAMES)


def test_names_may_be_quoted_and_hold_line_breaks(contract: Contract) -> None:
    head = ",".join(f'"{name}"' for name in NAMES).encode() + b',"Payment\nmode"\n'
    found = good(head, contract)
    assert found.layout.names[-1] == "Payment\nmode"
    assert (found.lines, found.size) == (2, len(head))


def test_names_match_in_any_order_and_by_alias(contract: Contract) -> None:
    head = b"QTY, Total Cost ,payment_mode,Customer ID,store-id,PRODUCT_NAME,sales_date,sales_person_id,price\n"
    names = ("quantity", "total_cost", "payment_mode", "customer_id", "store_id", "product_name", "sales_date", "sales_person_id", "price")
    assert good(head, contract).layout.names == names


def test_a_header_alone_is_a_good_file(contract: Contract) -> None:
    assert good(HEADER, contract).size == len(HEADER)


def test_a_name_that_is_not_valid_text_is_kept_readable(contract: Contract) -> None:
    assert good(HEADER + b",caf\xe9\n", contract).layout.names[-1] == "caf\\xe9"


@pytest.mark.parametrize("head", [b"", UTF8_BOM, b"\n \r\n\t\n", UTF8_BOM + b"\r\n"])
def test_a_file_without_a_line_is_empty(contract: Contract, head: bytes) -> None:
    assert reason(head, contract) == "EMPTY"


@pytest.mark.parametrize(
    "head",
    [
        b"PK\x03\x04 zip",
        b"PAR1\x15\x04",
        b"\x1f\x8b\x08 gzip",
        b"\xd0\xcf\x11\xe0 xls",
        HEADER.decode().encode("utf-16"),
        HEADER.decode().encode("utf-16-le"),
        bytes(range(256)) * 4,
        HEADER + b"\r" + ROW.replace(b"\n", b"\r"),
    ],
    ids=["zip", "parquet", "gzip", "xls", "utf-16", "utf-16 without mark", "random", "cr"],
)
def test_what_is_no_csv_text_is_not_csv(contract: Contract, head: bytes) -> None:
    assert reason(head, contract) == "NOT_CSV"


def test_a_nul_in_a_row_is_no_matter_of_the_file(contract: Contract) -> None:
    good(HEADER + b"\n1,\x00,3\n", contract)


def test_a_file_of_the_seeds_fewer_columns_generator_lacks_store_id(contract: Contract) -> None:
    head = b"customer_id,product_name,sales_date,sales_person_id,price,quantity,total_cost,payment_mode\n"
    assert read(head, contract) == FileFault("MISSING_COLUMN", "the header lacks store_id")


def test_the_reason_is_that_of_the_likeliest_delimiter(contract: Contract) -> None:
    assert read(b"customer_id;store_id;a,b,c,d\n", contract).code == "MISSING_COLUMN"  # type: ignore[union-attr]
    assert "product_name" in read(b"customer_id;store_id;a,b,c,d\n", contract).detail  # type: ignore[union-attr]
    assert "store_id" not in read(b"customer_id;store_id;a,b,c,d\n", contract).detail  # type: ignore[union-attr]


def test_a_name_that_occurs_twice_rejects_the_file(contract: Contract) -> None:
    assert reason(HEADER + b", Price \n", contract) == "DUPLICATE_COLUMN"


def test_data_in_the_first_line_is_no_header(contract: Contract) -> None:
    assert reason(ROW, contract) == "NO_HEADER"
    assert reason(ROW.replace(b",", b";"), contract) == "NO_HEADER"


def test_a_first_line_without_end_is_no_header(contract: Contract) -> None:
    assert reason(HEADER, contract, is_all=False) == "NO_HEADER"


def test_a_header_that_matches_under_two_delimiters_is_ambiguous(contract: Contract) -> None:
    head = HEADER + b",x;" + HEADER.replace(b",", b";") + b";y\n"
    assert reason(head, contract) == "WRONG_DELIMITER"


@pytest.mark.parametrize("delimiter", [b":", b" ", b"^", b"\x01"])
def test_an_unknown_delimiter_is_named_as_such(contract: Contract, delimiter: bytes) -> None:
    assert reason(HEADER.replace(b",", delimiter) + b"\n" + ROW * 3, contract) == "WRONG_DELIMITER"
