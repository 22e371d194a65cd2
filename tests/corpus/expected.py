"""What must become of every file of the corpus, worked out by hand against the shipped contract and the sample dimensions.

To add a case, put its file into files/ (or its bytes into build.py) and its outcome here. SETTINGS change the shipped contract: one file
has more than 99 of 100 rows rejected, and only that one is rejected as a whole for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal as D
from typing import Any

# What the corpus changes in the settings of the shipped contract.
SETTINGS: dict[str, Any] = {"max_reject_ratio": 0.99}

COMMITTED, REJECTED, DUPLICATE = "COMMITTED", "REJECTED", "DUPLICATE"


@dataclass(frozen=True)
class Case:
    """One file.

    Attributes:
        name: the file in files/, or its entry in build.py.
        about: what it is about, in one line.
        rows: read, loaded, rejected, pending.
        total: sum of total_cost over the loaded rows.
        key: the S3 key below the source prefix; the name and `.csv` where left out.
        state: the file's state in the ledger.
        reason: why the file is not loaded.
        rejected: line -> every reason in order, with the column where there is one.
        warned: line -> the broken rules of a loaded row.
        waits: (dimension, key) -> pending rows that wait for it.
        holds: line -> columns of a loaded row and their values.
        twin: of the files of one group exactly one is as described, whichever came first; the others are DUPLICATE.
        ignored_by: the rule by which the object is no sales file; it stays where it is.
    """

    name: str
    about: str
    rows: tuple[int, int, int, int] = (0, 0, 0, 0)
    total: D = D(0)
    key: str = ""
    state: str = COMMITTED
    reason: str | None = None
    rejected: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    warned: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    waits: Mapping[tuple[str, int], int] = field(default_factory=dict)
    holds: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    twin: str | None = None
    ignored_by: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", self.key or f"{self.name}.csv")


def refused(name: str, reason: str, about: str, key: str = "") -> Case:
    """Describe a file that is rejected as a whole."""
    return Case(name, about, state=REJECTED, reason=reason, key=key)


def ignored(name: str, key: str, rule: str, about: str) -> Case:
    """Describe an object that is no sales file."""
    return Case(name, about, key=key, ignored_by=rule)


def named(name: str, key: str, total: int, about: str) -> Case:
    """Describe a file of one good row whose key is what it is about."""
    return Case(f"name_{name}", about, ONE, D(total), key)


ONE = (1, 1, 0, 0)
UNKNOWN_PRODUCT = ("product_known",)
NO_VALUE = (
    "NULL_VALUE customer_id",
    "NULL_VALUE store_id",
    "NULL_VALUE product_name",
    "NULL_VALUE sales_date",
    "NULL_VALUE sales_person_id",
    "NULL_VALUE price",
    "NULL_VALUE quantity",
    "NULL_VALUE total_cost",
)

HEADERS = (
    Case(
        "mostly_bad",
        "a larger share of rejected rows than the contract allows",
        (2, 0, 2, 0),
        state=REJECTED,
        reason="REJECT_RATIO",
        rejected={2: ("INVALID_INT customer_id",), 3: ("INVALID_INT store_id",)},
    ),
    Case("plain", "a file as it should be", (2, 2, 0, 0), D("160"), holds={3: {"customer_id": 2, "product_name": "maida"}}),
    Case(
        "columns_reordered",
        "columns in another order than the contract's",
        ONE,
        D("104"),
        holds={2: {"customer_id": 3, "store_id": 121, "product_name": "besan", "quantity": 2, "price": D("52")}},
    ),
    Case("header_upper_case", "names in upper case", ONE, D("52"), holds={2: {"customer_id": 4}}),
    Case("header_mixed_spelling", "hyphens and blanks for underscores, any case", ONE, D("20"), holds={2: {"customer_id": 5}}),
    Case("header_blanks_around", "blanks around the names", ONE, D("50"), holds={2: {"customer_id": 6}}),
    Case("header_quoted", "every name in double quotes", ONE, D("150"), holds={2: {"customer_id": 7}}),
    Case("header_single_quoted", "every name in single quotes", ONE, D("200"), holds={2: {"customer_id": 8}}),
    Case("header_aliases", "aliases of the contract", ONE, D("250"), holds={2: {"customer_id": 9, "quantity": 5}}),
    Case(
        "header_over_two_lines",
        "a quoted name with a line break; lines are counted on",
        (2, 1, 1, 0),
        D("300"),
        rejected={4: ("INVALID_DATE sales_date",)},
        holds={3: {"additional_column": '{"remark\\nof the till":"fine"}'}},
    ),
    Case(
        "extra_columns",
        "columns that the contract does not name, before and behind, kept in the order of their names",
        (2, 2, 0, 0),
        D("750"),
        holds={
            2: {"additional_column": '{"payment_mode":"UPI","zone":"north"}', "customer_id": 1},
            3: {"additional_column": '{"payment_mode":"cash","zone":"south"}', "customer_id": 2},
        },
    ),
    Case(
        "extra_column_without_a_name",
        "a comma at the end of the header makes a column without a name",
        (2, 2, 0, 0),
        D("500"),
        holds={2: {"additional_column": '{"_column_9":""}'}, 3: {"additional_column": '{"_column_9":"x"}'}},
    ),
    Case(
        "extra_columns_in_other_scripts",
        "extra columns with names that are not ASCII",
        ONE,
        D("500"),
        holds={2: {"additional_column": '{"größe":"groß","数量":"三"}'}},
    ),
    Case(
        "extra_column_with_hard_text",
        "quotes and a backslash in an extra column are escaped once",
        ONE,
        D("550"),
        holds={2: {"additional_column": r'{"note":"say \"hi\", \\ ok"}'}},
    ),
    Case("bom", "UTF-8 with a byte order mark", ONE, D("1"), holds={2: {"customer_id": 1}}),
    Case("bom_and_quoted_header", "a byte order mark before a quoted name", ONE, D("2")),
    Case("tabs", "tab as delimiter; a line of tabs is a row without values", (2, 1, 1, 0), D("3"), rejected={3: NO_VALUE}),
    Case("no_break_blanks_in_header", "no-break blanks around the names", ONE, D("4")),
    Case(
        "header_decomposed",
        "a decomposed extra name is stored composed",
        ONE,
        D("5"),
        holds={2: {"additional_column": '{"Gr\u00f6\u00dfe":"M"}'}},
    ),
    Case(
        "semicolons",
        "semicolon as delimiter, and one within quotes",
        (2, 2, 0, 0),
        D("650"),
        warned={3: UNKNOWN_PRODUCT},
        holds={3: {"product_name": "sugar; fine"}},
    ),
    Case(
        "semicolons_with_decimal_commas",
        "a decimal comma is no decimal point",
        (2, 1, 1, 0),
        D("650"),
        rejected={3: ("INVALID_DECIMAL price", "INVALID_DECIMAL total_cost")},
    ),
    Case("pipes", "| as delimiter", ONE, D("700")),
    Case("header_only", "a header and no rows is a good file"),
    Case("header_only_again", "the same bytes again: a file without rows is never a duplicate"),
    Case("header_without_line_break", "a header and not even a line break"),
    Case("header_with_crlf_only", "a header that ends in CRLF"),
    Case(
        "blank_lines_before_header",
        "blank lines before the header count as lines",
        (2, 1, 1, 0),
        D("750"),
        rejected={5: ("INVALID_INT customer_id",)},
    ),
    Case(
        "a_thousand_columns",
        "a thousand extra columns; a row that lacks one of them",
        (2, 1, 1, 0),
        D("54"),
        rejected={3: ("TOO_FEW_FIELDS",)},
    ),
    refused("header_lacks_store", "MISSING_COLUMN", "the seed's file with fewer columns"),
    refused("header_lacks_everything", "MISSING_COLUMN", "the header of another table"),
    refused("prose", "MISSING_COLUMN", "a letter"),
    refused("html", "MISSING_COLUMN", "a web page"),
    refused("json", "MISSING_COLUMN", "JSON lines whose keys are the contract's names"),
    refused("excel_separator_line", "MISSING_COLUMN", "Excel's sep= line before the header"),
    refused("comment_before_header", "MISSING_COLUMN", "a comment before the header"),
    refused("frames_of_an_upload", "MISSING_COLUMN", "the frames of a signed upload around the text"),
    refused("header_twice_the_same", "DUPLICATE_COLUMN", "price twice"),
    refused("header_twice_by_case", "DUPLICATE_COLUMN", "price and PRICE"),
    refused("header_twice_by_alias", "DUPLICATE_COLUMN", "quantity and its alias qty"),
    refused("header_twice_an_extra", "DUPLICATE_COLUMN", "an extra column twice, in two cases"),
    refused("no_header", "NO_HEADER", "data in the first line"),
    refused("no_header_quoted", "NO_HEADER", "quoted data in the first line"),
    refused("header_beyond_64_kb", "NO_HEADER", "no line ends within max_header_bytes"),
    refused("delimiter_colon", "WRONG_DELIMITER", "colons between the names"),
    refused("delimiter_blank", "WRONG_DELIMITER", "blanks between the names"),
    refused("delimiter_ambiguous", "WRONG_DELIMITER", "a header that has all columns under comma and under semicolon"),
    refused("zero_bytes", "EMPTY", "no bytes"),
    refused("blank_lines_only", "EMPTY", "nothing but blanks and line breaks"),
    refused("bom_only", "EMPTY", "nothing but a byte order mark"),
    refused("zip_file", "NOT_CSV", "a zip archive named .csv"),
    refused("excel_file", "NOT_CSV", "an Excel file named .csv"),
    refused("old_excel_file", "NOT_CSV", "an Excel file of 1997 named .csv"),
    refused("parquet_file", "NOT_CSV", "Parquet named .csv"),
    refused("png_file", "NOT_CSV", "a picture named .csv"),
    refused("pdf_file", "NOT_CSV", "PDF named .csv; its first kilobyte is text"),
    refused("gzip_named_csv", "NOT_CSV", "gzip that does not say so in its name"),
    refused("noise", "NOT_CSV", "bytes without any sense"),
    refused("utf_16_with_bom", "NOT_CSV", "UTF-16, little end first"),
    refused("utf_16_big_endian", "NOT_CSV", "UTF-16, big end first"),
    refused("utf_16_without_bom", "NOT_CSV", "UTF-16 that does not say so"),
    refused("utf_32", "NOT_CSV", "UTF-32"),
    refused("cr_line_ends", "NOT_CSV", "lines that end in CR alone, as on old Macs"),
)

LINES = (
    Case("crlf", "CRLF line ends", (2, 2, 0, 0), D("29")),
    Case(
        "mixed_line_ends",
        "LF and CRLF in one file, and none at the end",
        (4, 2, 2, 0),
        D("33"),
        rejected={4: ("INVALID_INT customer_id",), 6: ("TOO_FEW_FIELDS",)},
    ),
    Case("no_last_line_break", "no line break at the end", ONE, D("18")),
    Case("crlf_no_last_line_break", "CRLF, and none at the end", ONE, D("19")),
    Case(
        "a_cr_within_a_line",
        "a lone CR is text, and a blank at the end of a value",
        (3, 3, 0, 0),
        D("63"),
        warned={2: UNKNOWN_PRODUCT, 3: UNKNOWN_PRODUCT},
        holds={2: {"product_name": "su\rgar"}, 3: {"product_name": "su\rgar"}, 4: {"product_name": "sugar", "store_id": 121}},
    ),
    Case(
        "doubled_crs",
        "line ends that were converted twice, CR CR LF",
        (3, 2, 1, 0),
        D("143"),
        rejected={4: ("MALFORMED_QUOTE",)},
        holds={2: {"additional_column": '{"note":"x"}'}, 3: {"additional_column": '{"note":"y"}'}},
    ),
    Case(
        "stripped_quotes",
        "every row without its outer quotes: each of them opens one that is never closed",
        (4, 1, 3, 0),
        D("74"),
        rejected={2: ("UNCLOSED_QUOTE",), 3: ("UNCLOSED_QUOTE",), 4: ("UNCLOSED_QUOTE",)},
    ),
    Case(
        "quoted_crlf",
        "CRLF and CR within quotes stay as they are",
        (3, 2, 1, 0),
        D("47"),
        rejected={5: ("TOO_FEW_FIELDS",)},
        holds={2: {"additional_column": r'{"note":"a\r\nb\r\n"}'}, 6: {"additional_column": r'{"note":"c\rd"}'}},
    ),
    Case(
        "lines_of_blanks",
        "lines of blanks and tabs are no rows, a no-break blank is one",
        (3, 1, 2, 0),
        D("25"),
        rejected={5: ("TOO_FEW_FIELDS",), 6: ("TOO_FEW_FIELDS",)},
    ),
    Case(
        "line_breaks_of_other_worlds",
        "what Unicode calls a line break ends no row",
        (2, 1, 1, 0),
        D("26"),
        rejected={3: ("TOO_FEW_FIELDS",)},
        warned={2: UNKNOWN_PRODUCT},
        holds={2: {"product_name": "a\x0b\x0c\x1c\x85\u2028\u2029b"}},
    ),
    Case(
        "blank_lines_between_rows",
        "blank lines are no rows but count as lines",
        (3, 2, 1, 0),
        D("250"),
        rejected={7: ("INVALID_INT quantity",)},
    ),
    Case(
        "too_short_and_too_long",
        "rows with more and with fewer fields than the header",
        (7, 2, 5, 0),
        D("2350"),
        rejected={
            3: ("TOO_FEW_FIELDS",),
            4: ("TOO_MANY_FIELDS",),
            5: ("TOO_MANY_FIELDS",),
            6: ("TOO_FEW_FIELDS",),
            7: ("TOO_FEW_FIELDS",),
        },
    ),
    Case("unclosed_quote", "an open quote costs its own line only", (4, 3, 1, 0), D("3900"), rejected={3: ("UNCLOSED_QUOTE",)}),
    Case(
        "unclosed_quote_meets_the_next",
        "an open quote that finds the opening quote of the next row",
        (3, 2, 1, 0),
        D("2850"),
        rejected={2: ("UNCLOSED_QUOTE",)},
    ),
    Case(
        "unclosed_quotes_in_a_row",
        "three open quotes and a good row",
        (4, 1, 3, 0),
        D("1500"),
        rejected={2: ("UNCLOSED_QUOTE",), 3: ("UNCLOSED_QUOTE",), 4: ("UNCLOSED_QUOTE",)},
    ),
    Case("unclosed_quote_at_the_end", "an open quote and the end of the file", (2, 1, 1, 0), D("53"), rejected={3: ("UNCLOSED_QUOTE",)}),
    Case(
        "quoted_line_breaks",
        "line breaks within quotes belong to their value",
        (4, 3, 1, 0),
        D("450"),
        rejected={7: ("INVALID_INT quantity",)},
        warned={8: UNKNOWN_PRODUCT},
        holds={
            2: {"additional_column": r'{"note":"two\nlines"}'},
            4: {"additional_column": r'{"note":"\n\n"}'},
            8: {"product_name": "su\ngar", "additional_column": '{"note":"plain"}'},
        },
    ),
    Case(
        "quoted_record_of_another_width",
        "a record of two lines must be as wide as the header",
        (3, 1, 2, 0),
        D("250"),
        rejected={2: ("UNCLOSED_QUOTE",), 3: ("TOO_FEW_FIELDS",)},
    ),
    Case("quoted_field_of_100_lines", "a quoted field of as many lines as may be", (2, 2, 0, 0), D("650")),
    Case(
        "quoted_field_of_101_lines",
        "a quoted field of one line too many costs its lines, and nothing behind it",
        (103, 2, 101, 0),
        D("950"),
        rejected={2: ("UNCLOSED_QUOTE",)} | dict.fromkeys(range(3, 103), ("TOO_FEW_FIELDS",)),
    ),
    Case(
        "backslashes",
        "a backslash escapes nothing",
        (4, 2, 2, 0),
        D("1150"),
        rejected={4: ("MALFORMED_QUOTE",), 5: ("TOO_MANY_FIELDS",)},
        warned={2: UNKNOWN_PRODUCT, 3: UNKNOWN_PRODUCT},
        holds={2: {"product_name": "sugar\\"}, 3: {"product_name": r"C:\new\table"}},
    ),
    Case(
        "text_behind_a_closing_quote",
        '"sugar"brown, and a blank behind a quote',
        (3, 1, 2, 0),
        D("650"),
        rejected={2: ("MALFORMED_QUOTE",), 3: ("MALFORMED_QUOTE",)},
    ),
    Case(
        "doubled_quotes",
        "doubled quotes are one quote; every value may be quoted",
        (3, 3, 0, 0),
        D("2250"),
        warned={2: UNKNOWN_PRODUCT, 3: UNKNOWN_PRODUCT},
        holds={2: {"product_name": 'say "sugar"'}, 3: {"product_name": '"'}, 4: {"product_name": "sugar", "quantity": 16}},
    ),
    Case(
        "quotes_within_plain_text",
        "a quote is special at the beginning of a value only",
        (3, 3, 0, 0),
        D("2700"),
        warned={2: UNKNOWN_PRODUCT, 3: UNKNOWN_PRODUCT, 4: UNKNOWN_PRODUCT},
        holds={2: {"product_name": '5" nail'}, 3: {"product_name": '"sugar"'}, 4: {"product_name": "'sugar'"}},
    ),
    Case(
        "nul_bytes",
        "NUL in a value and in a row that is too short",
        (5, 2, 3, 0),
        D("55"),
        rejected={3: ("NUL_BYTE product_name",), 4: ("NUL_BYTE customer_id",), 5: ("TOO_FEW_FIELDS", "NUL_BYTE")},
    ),
    Case(
        "invalid_utf_8",
        "a stray byte, an overlong slash, a surrogate, half a character",
        (6, 2, 4, 0),
        D("59"),
        rejected=dict.fromkeys((3, 4, 5, 6), ("INVALID_ENCODING product_name",)),
    ),
    Case(
        "windows_1252",
        "bytes of windows-1252 under a contract of UTF-8",
        (3, 1, 2, 0),
        D("31"),
        rejected=dict.fromkeys((3, 4), ("INVALID_ENCODING product_name",)),
    ),
    Case(
        "all_structural_faults_of_a_row",
        "a row has all its structural faults",
        (3, 1, 2, 0),
        D("32"),
        rejected={2: ("TOO_FEW_FIELDS", "NUL_BYTE", "INVALID_ENCODING"), 3: ("UNCLOSED_QUOTE", "NUL_BYTE", "INVALID_ENCODING")},
    ),
    Case(
        "bad_bytes_in_an_extra_column",
        "a column that the contract does not name must be text as well",
        (3, 1, 2, 0),
        D("33"),
        rejected={3: ("INVALID_ENCODING note",), 4: ("NUL_BYTE note",)},
    ),
    Case(
        "bom_within_the_file",
        "a byte order mark where two files were joined",
        (2, 1, 1, 0),
        D("7"),
        rejected={2: ("INVALID_INT customer_id",)},
    ),
    Case(
        "the_header_again",
        "a second header where two files were joined",
        (3, 2, 1, 0),
        D("1150"),
        rejected={
            3: (
                "INVALID_INT customer_id",
                "INVALID_INT store_id",
                "INVALID_DATE sales_date",
                "INVALID_INT sales_person_id",
                "INVALID_DECIMAL price",
                "INVALID_INT quantity",
                "INVALID_DECIMAL total_cost",
            )
        },
    ),
    Case(
        "ten_megabyte_line",
        "a value of 10 MB between good rows",
        (3, 2, 1, 0),
        D("83"),
        rejected={3: ("RECORD_TOO_LONG",)},
    ),
    Case(
        "ten_megabyte_field",
        "a quoted value of 10 MB between good rows",
        (4, 3, 1, 0),
        D("126"),
        rejected={3: ("RECORD_TOO_LONG",)},
    ),
    Case(
        "ten_megabyte_field_of_lines",
        "a quoted value of 10 MB over 21 lines, each short enough",
        (24, 3, 21, 0),
        D("135"),
        rejected={3: ("UNCLOSED_QUOTE",)} | dict.fromkeys(range(4, 24), ("TOO_FEW_FIELDS",)),
    ),
    Case(
        "longest_record",
        "a row of exactly max_record_bytes, and one of a byte more",
        (3, 2, 1, 0),
        D("96"),
        rejected={3: ("RECORD_TOO_LONG",)},
    ),
)

VALUES = (
    Case(
        "exponents",
        "1e5 is no number here",
        (4, 1, 3, 0),
        D("200"),
        rejected={3: ("INVALID_INT quantity",), 4: ("INVALID_DECIMAL price",), 5: ("INVALID_DECIMAL total_cost",)},
    ),
    Case(
        "not_a_number",
        "NaN and Infinity",
        (4, 1, 3, 0),
        D("250"),
        rejected={
            3: ("INVALID_DECIMAL price", "INVALID_DECIMAL total_cost"),
            4: ("INVALID_DECIMAL price", "INVALID_DECIMAL total_cost"),
            5: ("INVALID_INT customer_id",),
        },
    ),
    Case(
        "thousands_separators",
        'commas, blanks and apostrophes: "1,234.50"',
        (4, 1, 3, 0),
        D("300"),
        rejected={
            3: ("INVALID_DECIMAL price", "INVALID_DECIMAL total_cost"),
            4: ("INVALID_INT quantity",),
            5: ("INVALID_DECIMAL price", "INVALID_DECIMAL total_cost"),
        },
    ),
    Case(
        "signs",
        "+5 is 5",
        (3, 1, 2, 0),
        D("250"),
        rejected={3: ("INVALID_INT quantity",), 4: ("INVALID_INT quantity",)},
        holds={2: {"customer_id": 1, "quantity": 5, "price": D("50")}},
    ),
    Case(
        "digits_of_other_scripts",
        "full-width, Arabic and Devanagari digits",
        (3, 1, 2, 0),
        D("350"),
        rejected={3: ("INVALID_INT customer_id", "INVALID_INT quantity"), 4: ("INVALID_DATE sales_date", "INVALID_DECIMAL price")},
    ),
    Case(
        "numbers_with_units",
        "currencies, hexadecimals, underscores, truth values",
        (5, 1, 4, 0),
        D("400"),
        rejected={
            3: ("INVALID_DECIMAL price", "INVALID_DECIMAL total_cost"),
            4: ("INVALID_DECIMAL price", "INVALID_INT quantity"),
            5: ("INVALID_INT quantity",),
            6: ("INVALID_INT sales_person_id",),
        },
    ),
    Case(
        "spellings_of_decimals",
        ".5, 1., 00012.50 and -0 are numbers, a point alone is none",
        (4, 3, 1, 0),
        D("26"),
        rejected={5: ("INVALID_DECIMAL price",)},
        holds={2: {"price": D("0.5")}, 3: {"price": D("12.5")}, 4: {"price": D("0")}},
    ),
    Case(
        "integers_with_a_point",
        "9.0 is 9, 9.5 is no integer",
        (3, 1, 2, 0),
        D("450"),
        rejected={3: ("INVALID_INT quantity",), 4: ("INVALID_INT quantity",)},
        holds={2: {"customer_id": 1, "store_id": 121, "quantity": 9}},
    ),
    Case(
        "a_year_as_a_date",
        "2024 is no day",
        (4, 1, 3, 0),
        D("500"),
        rejected=dict.fromkeys((3, 4, 5), ("INVALID_DATE sales_date",)),
    ),
    Case(
        "other_date_formats",
        "only the contract's format is a date",
        (7, 1, 6, 0),
        D("550"),
        rejected=dict.fromkeys((3, 4, 5, 6, 7, 8), ("INVALID_DATE sales_date",)),
    ),
    Case(
        "leap_days",
        "2024 and 2000 have a 29 February, 2023 and 1900 have none",
        (4, 2, 2, 0),
        D("650"),
        rejected=dict.fromkeys((4, 5), ("INVALID_DATE sales_date",)),
        holds={2: {"sales_date": date(2024, 2, 29)}, 3: {"sales_date": date(2000, 2, 29)}},
    ),
    Case(
        "days_that_do_not_exist",
        "30 February, 31 April, month 13, month 0, day 0",
        (6, 1, 5, 0),
        D("650"),
        rejected=dict.fromkeys((3, 4, 5, 6, 7), ("INVALID_DATE sales_date",)),
    ),
    Case(
        "dates_in_the_future",
        "a future date is loaded with a warning; the year 10000 is none",
        (3, 2, 1, 0),
        D("1450"),
        rejected={4: ("INVALID_DATE sales_date",)},
        warned={2: ("date_not_in_future",), 3: ("date_not_in_future",)},
        holds={3: {"sales_date": date(9999, 12, 31), "sales_month": "9999-12"}},
    ),
    Case(
        "dates_long_ago",
        "days before the calendar reform stay the same day; there is no year 0",
        (5, 3, 2, 0),
        D("2550"),
        rejected={4: ("INVALID_DATE sales_date",), 5: ("INVALID_DATE sales_date",)},
        holds={
            2: {"sales_date": date(1582, 10, 4), "sales_month": "1582-10"},
            3: {"sales_date": date(1, 1, 1), "sales_month": "0001-01"},
            6: {"sales_date": date(1899, 12, 31), "sales_month": "1899-12"},
        },
    ),
    Case(
        "too_precise",
        "digits that do not fit are never rounded away; zeros are no digits",
        (4, 1, 3, 0),
        D("2.46"),
        rejected={
            3: ("TOO_PRECISE price",),
            4: ("TOO_PRECISE total_cost",),
            5: ("TOO_PRECISE price", "TOO_PRECISE total_cost"),
        },
        holds={2: {"price": D("1.23")}},
    ),
    Case(
        "out_of_range",
        "one more than the largest value of each type",
        (6, 1, 5, 0),
        D("950"),
        rejected={
            3: ("OUT_OF_RANGE customer_id",),
            4: ("OUT_OF_RANGE store_id",),
            5: ("OUT_OF_RANGE price",),
            6: ("OUT_OF_RANGE total_cost",),
            7: ("OUT_OF_RANGE quantity",),
        },
    ),
    Case(
        "largest_values",
        "the largest and smallest value of each type",
        (2, 2, 0, 0),
        D("99999999999999.9999"),
        warned={2: ("total_matches",)},
        holds={2: {"price": D("99999999.9999"), "quantity": 2147483647}, 3: {"quantity": -2147483648}},
    ),
    Case(
        "long_product_names",
        "255 characters, however many bytes, after trimming; not 256",
        (4, 3, 1, 0),
        D("153"),
        rejected={3: ("TOO_LONG product_name",)},
        warned=dict.fromkeys((2, 4, 5), UNKNOWN_PRODUCT),
        holds={4: {"product_name": "😀" * 255}, 5: {"product_name": "x" * 255}},
    ),
    Case(
        "one_blank_in_each_column",
        "no column may be left blank",
        (9, 1, 8, 0),
        D("1000"),
        rejected={line: (reason,) for line, reason in enumerate(NO_VALUE, 3)},
    ),
    Case(
        "nothing_in_all_columns",
        "a row of commas, and one of empty quotes",
        (3, 1, 2, 0),
        D("1050"),
        rejected={3: NO_VALUE, 4: NO_VALUE},
    ),
    Case(
        "words_for_null",
        r"NULL, \N and N/A are text",
        (2, 1, 1, 0),
        D("1100"),
        rejected={3: ("INVALID_INT customer_id", "INVALID_DECIMAL price", "INVALID_INT quantity", "INVALID_DECIMAL total_cost")},
        warned={2: UNKNOWN_PRODUCT},
        holds={2: {"product_name": "NULL"}},
    ),
    Case("leading_zeros", "ids with leading zeros", ONE, D("100"), holds={2: {"customer_id": 7, "store_id": 121, "quantity": 2}}),
    Case(
        "blanks_around_values",
        "blanks around values, also within quotes",
        (2, 2, 0, 0),
        D("350"),
        holds={2: {"product_name": "sugar"}, 3: {"product_name": "sugar"}},
    ),
    Case("no_break_blanks", "no-break blanks around values", ONE, D("37"), holds={2: {"product_name": "sugar"}}),
    Case(
        "blanks_that_are_not_trimmed",
        "an em space, a zero-width space and an ideographic space are text",
        (4, 2, 2, 0),
        D("77"),
        rejected={3: ("INVALID_INT customer_id",), 4: ("INVALID_INT customer_id", "INVALID_DECIMAL total_cost")},
        warned={5: UNKNOWN_PRODUCT},
        holds={5: {"product_name": "\u3000sugar"}},
    ),
    Case(
        "astral_characters",
        "characters of four bytes and joined emoji",
        ONE,
        D("36"),
        warned={2: UNKNOWN_PRODUCT},
        holds={2: {"product_name": "😀𝔘🇮🇳👩\u200d👩\u200d👧"}},
    ),
    Case("returns", "a negative quantity is a return", (2, 2, 0, 0), D("800"), holds={3: {"quantity": -4, "total_cost": D("-200")}}),
    Case(
        "broken_rules",
        "a quantity of zero, a negative price, both",
        (4, 1, 3, 0),
        D("450"),
        rejected={
            3: ("QUANTITY_NOT_ZERO quantity",),
            4: ("PRICE_NOT_NEGATIVE price",),
            5: ("QUANTITY_NOT_ZERO quantity", "PRICE_NOT_NEGATIVE price"),
        },
    ),
    Case(
        "several_reasons",
        "every reason against a row is named",
        (3, 1, 2, 0),
        D("500"),
        rejected={
            3: (
                "INVALID_INT customer_id",
                "INVALID_INT store_id",
                "NULL_VALUE product_name",
                "INVALID_DATE sales_date",
                "INVALID_INT sales_person_id",
                "TOO_PRECISE price",
                "INVALID_INT quantity",
                "OUT_OF_RANGE total_cost",
            ),
            4: ("OUT_OF_RANGE customer_id", "NULL_VALUE sales_date"),
        },
    ),
    Case(
        "totals_that_do_not_match",
        "a total that is more than a cent off is loaded with a warning",
        (4, 4, 0, 0),
        D("390.0201"),
        warned=dict.fromkeys((2, 4, 5), ("total_matches",)),
    ),
    Case(
        "unknown_products",
        "an unknown product is loaded with a warning; products are told apart by case",
        (4, 4, 0, 0),
        D("4500"),
        warned=dict.fromkeys((2, 3, 4, 5), UNKNOWN_PRODUCT),
        holds={4: {"product_name": "شكر 😀"}, 5: {"product_name": "=1+1"}},
    ),
    Case(
        "several_warnings",
        "every broken rule of a loaded row is named",
        ONE,
        D("99"),
        warned={2: ("total_matches", "date_not_in_future", "product_known")},
    ),
    Case(
        "unknown_keys",
        "rows with an unknown customer, store or seller wait; a broken one does not",
        (7, 1, 1, 5),
        D("350"),
        rejected={8: ("QUANTITY_NOT_ZERO quantity",)},
        waits={("customer", 9001): 3, ("store", 999): 2, ("sales_team", 77): 2},
    ),
    Case(
        "keys_of_zero_and_below",
        "ids of zero and below are ids",
        (3, 1, 0, 2),
        D("400"),
        waits={("customer", 0): 1, ("customer", -1): 1},
    ),
)

COMPRESSED = (
    Case("gzip", "gzip", (2, 1, 1, 0), D("56"), "gzip.csv.gz", rejected={3: ("INVALID_INT customer_id",)}),
    Case("gzip_two_members", "two gzip members, cut within a row", (2, 2, 0, 0), D("115"), "gzip_two_members.csv.gz"),
    Case("gzip_padded_with_zeros", "zeros behind the last member", ONE, D("59"), "gzip_padded.csv.gz"),
    Case("gzip_upper_case", "an ending in upper case", ONE, D("60"), "GZIP.CSV.GZ"),
    Case("gzip_header_only", "a compressed header", key="gzip_header_only.csv.gz"),
    Case("gzip_with_bom_and_semicolons", "what holds for plain text holds for compressed text", ONE, D("61"), "gzip_semicolons.csv.gz"),
    Case("gzip_name_plain_text", "plain text that is named .gz", ONE, D("66"), "plain_text.csv.gz"),
    refused("gzip_of_nothing", "EMPTY", "compressed nothing", "gzip_of_nothing.csv.gz"),
    refused("gzip_name_zero_bytes", "EMPTY", "no bytes, named .gz", "zero_bytes.csv.gz"),
    refused("gzip_damaged", "UNREADABLE", "a wrong checksum", "gzip_damaged.csv.gz"),
    refused("gzip_damaged_behind_many_rows", "UNREADABLE", "a wrong checksum behind 20,000 good rows", "gzip_damaged_late.csv.gz"),
    refused("gzip_truncated", "UNREADABLE", "gzip that ends too early", "gzip_truncated.csv.gz"),
    refused("gzip_magic_only", "UNREADABLE", "the first two bytes of gzip", "gzip_magic.csv.gz"),
    refused("gzip_with_rubbish_behind", "UNREADABLE", "text behind the last member", "gzip_rubbish.csv.gz"),
    refused("gzip_name_zip_file", "NOT_CSV", "a zip archive that is named .gz", "zip.csv.gz"),
    refused("gzip_binary_inside", "NOT_CSV", "compressed noise", "noise.csv.gz"),
)

TWINS = (
    Case("twin_first", "the first of three files with the same content", ONE, D("1550"), twin="three"),
    Case("twin_second", "the same content under another name", ONE, D("1550"), twin="three"),
    Case("twin_in_a_folder", "the same content in a folder", ONE, D("1550"), "z/twin.csv", twin="three"),
    Case("almost_a_twin", "the same rows in other bytes are another content", ONE, D("1550")),
    Case(
        "twin_with_a_bad_row",
        "a twin whose row is in the quarantine once",
        (2, 1, 1, 0),
        D("1600"),
        rejected={3: ("INVALID_INT customer_id",)},
        twin="bad_row",
    ),
    Case(
        "twin_with_a_bad_row_again",
        "its twin",
        (2, 1, 1, 0),
        D("1600"),
        rejected={3: ("INVALID_INT customer_id",)},
        twin="bad_row",
    ),
)

NAMES = (
    named("blank", "two words.csv", 101, "a blank"),
    named("leading_blank", " leading.csv", 102, "a blank in front"),
    named("trailing_blank", "trailing.csv ", 103, "a blank at the end"),
    named("plus", "a+b.csv", 104, "+ is a blank in a query"),
    named("percent", "100%.csv", 105, "%"),
    named("percent_2f", "a%2Fb.csv", 106, "an encoded slash is no slash"),
    named("percent_20", "a%20b.csv", 107, "an encoded blank is no blank"),
    named("percent_broken", "%zz%.csv", 108, "% without digits"),
    named("single_quote", "it's.csv", 109, "a single quote"),
    named("double_quote", 'say "hi".csv', 110, "double quotes"),
    named("backtick", "`id`.csv", 111, "backticks"),
    named("brackets", "[a].csv", 112, "a class of a glob"),
    named("braces", "{a,b}.csv", 113, "alternatives of a glob"),
    named("star", "*.csv", 114, "a glob that fits everything"),
    named("question", "?.csv", 115, "a glob of one character, and where a query begins"),
    named("hash", "#1.csv", 116, "where a fragment begins"),
    named("ampersand", "a&b=c.csv", 117, "&, which XML escapes"),
    named("glob", "2024-*/[!x]?{0..9}.csv", 118, "a glob with a folder"),
    named("backslash", "back\\slash.csv", 119, "a backslash"),
    named("colon", "s3a:x:y.csv", 120, "colons, which Hadoop takes for a scheme"),
    named("semicolon", "a;b,c.csv", 121, "delimiters"),
    named("angle", "<a>|b^c~d.csv", 122, "angle brackets, which XML escapes"),
    named("dollar", "${HOME}$(id).csv", 123, "what a shell and a configuration replace"),
    named("format", "%s%(x)s{0}.csv", 124, "what format strings replace"),
    named("composed", "\u00e9.csv", 125, "é as one character"),
    named("decomposed", "e\u0301.csv", 126, "the same name as two characters"),
    named("emoji", "😀👩\u200d👩\u200d👧.csv", 127, "emoji"),
    named("scripts", "销售/बिक्री/مبيعات.csv", 128, "three scripts in three segments"),
    named("long", ("d" * 200 + "/") * 5 + "abcd.csv", 129, "1,024 bytes with the source prefix"),
    named("long_emoji", ("😀" * 50 + "/") * 5 + "wxyz.csv", 130, "1,024 bytes of four-byte characters"),
    named("longest_segment", "n" * 214 + ".csv", 131, "as long as a segment may be on the embedded server"),
    named("hidden", "_hidden.csv", 132, "what Hadoop hides"),
    named("dot", ".dot.csv", 133, "what Hadoop and Unix hide"),
    named("hidden_folder", "_folder/.sub/x.csv", 134, "hidden folders"),
    named("upper_a", "A.csv", 135, "A"),
    named("lower_a", "a.csv", 136, "a is not A"),
    named("in_a", "a/x.csv", 137, "x in folder a"),
    named("in_b", "b/x.csv", 138, "x in folder b"),
    named("sql", "'; DROP TABLE source_file; --.csv", 139, "SQL behind a quote"),
    named("sql_or", "x' OR '1'='1.csv", 140, "SQL that is always true"),
    named("sql_comment", 'x"); DELETE FROM micro_batch; #.csv', 141, "SQL behind a double quote"),
    named("upper_ending", "UPPER.CSV", 142, "an ending in upper case"),
    named("no_ending", "no_ending", 143, "no ending"),
    named("txt", "sales.txt", 144, "another ending"),
    named("only_ending", ".csv", 145, "nothing but an ending"),
    named("partition", "sales_month=2024-03/store_id=121/batch_key=1-1-1/part-0.csv", 146, "a name like a partition of the facts"),
    named("success_like", "_SUCCESS.csv", 147, "almost a success marker"),
    named("success_folder", "_SUCCESS.d/x.csv", 148, "a folder that is almost a success marker"),
    named("crc_like", "x.crc.csv", 149, "almost a checksum file"),
    named("sales_data", "sales_data.csv", 150, "the name of most drops"),
    named("my_sales_data", "my_sales_data.csv", 151, "a name that ends in another one"),
    named("prefix_again", "sales_data/sales_data/x.csv", 152, "the source prefix within the source prefix"),
    named("dashes", "--help", 153, "an option"),
    named("null", "null", 154, "null"),
    named("dots", "...csv", 155, "dots"),
    named("tab", "tab\tname.csv", 156, "a tab"),
    named("control", "bell\x07.csv", 157, "a control character, which XML cannot hold"),
    named("del", "del\x7f.csv", 158, "DEL"),
    named("newline", "two\nlines.csv", 159, "a line break"),
    named("bom", "\ufeff.csv", 160, "a byte order mark"),
    named("right_to_left", "\u202efdp.csv", 161, "a name that is shown the other way round"),
    named("magic", "__magic/x.csv", 162, "a folder that the S3A committer treats apart"),
    named("temporary", "_temporary/0/x.csv", 163, "a folder of Hadoop's committer"),
    named("trailing_dot", "x.csv.", 165, "a dot at the end"),
    named("noncharacter", "\ufffe.csv", 166, "what is no character"),
    named("gz_in_the_middle", "x.csv.gz.csv", 164, ".gz that is not at the end"),
)

IGNORED = (
    ignored("folder_marker", "empty_folder/", "folder_marker", "what consoles make for a folder"),
    ignored("nested_folder_marker", "a/b/", "folder_marker", "a folder within a folder that has files"),
    ignored("hadoop_folder_marker", "old_$folder$", "folder_marker", "what old Hadoop makes for a folder"),
    ignored("checksum_file", "sums.crc", "checksum_file", "a checksum file"),
    ignored("checksum_of_a_hidden_file", ".plain.csv.crc", "checksum_file", "what Hadoop's local file system writes beside a file"),
    ignored("success_marker", "_SUCCESS", "success_marker", "what Hadoop writes behind a job"),
    ignored("success_marker_in_a_folder", "b/_SUCCESS", "success_marker", "the same in a folder, with content"),
    ignored("macos_file", ".DS_Store", "desktop_file", "what macOS leaves"),
    ignored("windows_file", "b/Thumbs.db", "desktop_file", "what Windows leaves"),
    ignored(
        "upload_in_progress",
        "half.csv-0f8fad5b-d9cb-469f-a165-70867728950e",
        "upload_in_progress",
        "how the embedded server shows an upload that is going on",
    ),
)

CASES = (*HEADERS, *LINES, *VALUES, *COMPRESSED, *TWINS, *NAMES, *IGNORED)
