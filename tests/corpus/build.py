"""The bytes of every file of the corpus. Most stand in files/; here are those that git or an editor would mangle, and large ones."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

FILES = Path(__file__).parent / "files"
HEADER = b"customer_id,store_id,product_name,sales_date,sales_person_id,price,quantity,total_cost"
GOOD = b"1,121,sugar,2024-03-20,1,1,%d,%d"
MEGABYTE = 1 << 20


def lines(*rows: bytes) -> bytes:
    """Join lines with LF; the last one ends in LF as well."""
    return b"\n".join(rows) + b"\n"


def sale(total: int) -> bytes:
    """Write a file of one good row that is worth `total`, so that no two files have the same content."""
    return lines(HEADER, GOOD % (total, total))


def sales(first: int, count: int) -> list[bytes]:
    """Write good rows worth first, first + 1 and so on."""
    return [GOOD % (first + n, first + n) for n in range(count)]


def zipped(text: bytes) -> bytes:
    """Make one gzip member."""
    return gzip.compress(text, mtime=0)


def with_broken_checksum(member: bytes) -> bytes:
    """Change the CRC of a gzip member, which stands in its last eight bytes: all of it unpacks before the damage shows."""
    return member[:-8] + bytes(byte ^ 0xFF for byte in member[-8:-4]) + member[-4:]


def ten_megabytes(quoted: bool) -> bytes:
    """Write a field of 10 MB on one line between good rows."""
    mark = b'"' if quoted else b""
    return lines(HEADER, GOOD % (41, 41), b"1,121," + mark + b"x" * (10 * MEGABYTE) + mark + b",2024-03-20,1,1,1,1", GOOD % (42, 42))


BUILT: dict[str, Callable[[], bytes]] = {
    # Headers
    "bom": lambda: b"\xef\xbb\xbf" + lines(HEADER, GOOD % (1, 1)),
    "bom_and_quoted_header": lambda: b"\xef\xbb\xbf" + lines(b'"' + HEADER.replace(b",", b'","') + b'"', GOOD % (2, 2)),
    "tabs": lambda: lines(HEADER.replace(b",", b"\t"), (GOOD % (3, 3)).replace(b",", b"\t"), b"\t\t\t\t\t\t\t"),
    "no_break_blanks_in_header": lambda: lines(HEADER.replace(b",", b"\xc2\xa0,\xc2\xa0"), GOOD % (4, 4)),
    "header_without_line_break": lambda: HEADER,
    "header_with_crlf_only": lambda: HEADER + b"\r\n",
    "header_decomposed": lambda: lines(HEADER + ",Gro\u0308ße".encode(), GOOD % (5, 5) + b",M"),
    "header_beyond_64_kb": lambda: b"x" * 70_000 + b"\n" + lines(HEADER, GOOD % (6, 6)),
    "zero_bytes": lambda: b"",
    "blank_lines_only": lambda: b"\n  \n\t\r\n\r\n",
    "bom_only": lambda: b"\xef\xbb\xbf",
    "bom_within_the_file": lambda: lines(HEADER, b"\xef\xbb\xbf1,121,sugar,2024-03-20,1,1,1,1", GOOD % (7, 7)),
    # No CSV at all
    "zip_file": lambda: b"PK\x03\x04\x14\x00\x00\x00\x08\x00" + bytes(range(256)) * 4,
    "excel_file": lambda: b"PK\x03\x04\x14\x00\x06\x00\x08\x00!\x00[Content_Types].xml \xa2\x04\x02(\xa0\x00\x02" + bytes(600),
    "old_excel_file": lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504),
    "parquet_file": lambda: b"PAR1\x15\x04\x15\x10\x15\x14L\x15\x02\x15\x00\x12\x00\x00" + bytes(300) + b"PAR1",
    "png_file": lambda: b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89",
    "pdf_file": lambda: b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< /Type /Catalog >>\nendobj\n",
    "gzip_named_csv": lambda: zipped(sale(8)),
    # A server that does not know the frames of a signed upload stores them with the bytes.
    "frames_of_an_upload": lambda: b"7f;chunk-signature=%s\r\n%s\r\n0;chunk-signature=%s\r\n\r\n" % (b"a" * 64, sale(75), b"b" * 64),
    "noise": lambda: bytes((n * 197 + n // 7) % 256 for n in range(2000)),
    "utf_16_with_bom": lambda: b"\xff\xfe" + sale(9).decode().encode("utf-16-le"),
    "utf_16_big_endian": lambda: b"\xfe\xff" + sale(10).decode().encode("utf-16-be"),
    "utf_16_without_bom": lambda: sale(11).decode().encode("utf-16-le"),
    "utf_32": lambda: sale(12).decode().encode("utf-32"),
    "cr_line_ends": lambda: sale(13).replace(b"\n", b"\r"),
    # Line ends
    "crlf": lambda: b"\r\n".join([HEADER, GOOD % (14, 14), GOOD % (15, 15), b""]),
    "mixed_line_ends": lambda: b"".join(
        [HEADER, b"\r\n", GOOD % (16, 16), b"\n", GOOD % (17, 17), b"\r\n", b"x,121,sugar,2024-03-20,1,1,1,1\n", b"\r\n", b"1,121"]
    ),
    "no_last_line_break": lambda: HEADER + b"\n" + GOOD % (18, 18),
    "crlf_no_last_line_break": lambda: HEADER + b"\r\n" + GOOD % (19, 19),
    "a_cr_within_a_line": lambda: lines(
        HEADER,
        b"1,121,su\rgar,2024-03-20,1,1,20,20",
        b'1,121,"su\rgar",2024-03-20,1,1,21,21',
        b"1,121\r,sugar\r,2024-03-20,1,1,22,22",
    ),
    "doubled_crs": lambda: b"".join(
        line + b"\r\r\n"
        for line in (
            HEADER + b",note",
            b'"1","121","sugar","2024-03-20","1","1","71","71","x"',
            GOOD % (72, 72) + b",y",
            b'"1","121","su"gar","2024-03-20","1","1","1","1",""',
        )
    ),
    "quoted_crlf": lambda: b"".join(
        [HEADER, b",note\r\n", GOOD % (23, 23), b',"a\r\nb\r\n"\r\n', b"1,121\r\n", GOOD % (24, 24), b',"c\rd"\r\n']
    ),
    "lines_of_blanks": lambda: lines(HEADER, b"   ", GOOD % (25, 25), b"\t \r", b"\xc2\xa0", b"1,121"),
    "line_breaks_of_other_worlds": lambda: lines(HEADER, "1,121,a\x0b\x0c\x1c\x85\u2028\u2029b,2024-03-20,1,1,26,26".encode(), b"1,121"),
    # Bytes
    "nul_bytes": lambda: lines(
        HEADER,
        GOOD % (27, 27),
        b"1,121,su\x00gar,2024-03-20,1,1,1,1",
        b"1\x00,121,sugar,2024-03-20,1,1,1,1",
        b"1,12\x001",
        GOOD % (28, 28),
    ),
    "invalid_utf_8": lambda: lines(
        HEADER,
        GOOD % (29, 29),
        b"1,121,su\xffgar,2024-03-20,1,1,1,1",
        b"1,121,\xc0\xaf,2024-03-20,1,1,1,1",
        b"1,121,\xed\xa0\x80,2024-03-20,1,1,1,1",
        b"1,121,\xf0\x9f\x98,2024-03-20,1,1,1,1",
        GOOD % (30, 30),
    ),
    "windows_1252": lambda: lines(HEADER, GOOD % (31, 31), b"1,121,caf\xe9 \x80,2024-03-20,1,1,1,1", b"1,121,na\xefve,2024-03-20,1,1,1,1"),
    "all_structural_faults_of_a_row": lambda: lines(HEADER, b"1,\x00,\xff", b'1,121,"su\x00gar,\xff', GOOD % (32, 32)),
    "bad_bytes_in_an_extra_column": lambda: lines(
        HEADER + b",note", GOOD % (33, 33) + b",fine", GOOD % (34, 34) + b",\xff", GOOD % (35, 35) + b",\x00"
    ),
    "astral_characters": lambda: lines(HEADER, "1,121,😀𝔘🇮🇳👩\u200d👩\u200d👧,2024-03-20,1,1,36,36".encode()),
    # Blanks that are seen and blanks that are not
    "no_break_blanks": lambda: lines(HEADER, "\u00a01\u00a0,\u00a0121,\u00a0sugar\u00a0,2024-03-20\u00a0,1,\u00a01,37\u00a0,37".encode()),
    "blanks_that_are_not_trimmed": lambda: lines(
        HEADER,
        GOOD % (38, 38),
        "\u20031,121,sugar,2024-03-20,1,1,1,1".encode(),
        "\u200b1,121,sugar,2024-03-20,1,1,1,\u30001".encode(),
        "1,121,\u3000sugar,2024-03-20,1,1,39,39".encode(),
    ),
    # Length
    "ten_megabyte_line": lambda: ten_megabytes(quoted=False),
    "ten_megabyte_field": lambda: ten_megabytes(quoted=True) + GOOD % (43, 43),
    "ten_megabyte_field_of_lines": lambda: lines(
        HEADER,
        GOOD % (44, 44),
        b'1,121,"' + b"x" * (MEGABYTE // 2),
        *[b"y" * (MEGABYTE // 2)] * 19,
        b'z",2024-03-20,1,1,1,1',
        GOOD % (45, 45),
        GOOD % (46, 46),
    ),
    # The sale and its comma are 33 bytes.
    "longest_record": lambda: lines(
        HEADER + b",note",
        GOOD % (47, 47) + b"," + b"x" * (MEGABYTE - 33),
        GOOD % (48, 48) + b"," + b"x" * (MEGABYTE - 32),
        GOOD % (49, 49) + b",short",
    ),
    "long_product_names": lambda: lines(
        HEADER,
        b"1,121," + b"x" * 255 + b",2024-03-20,1,1,50,50",
        b"1,121," + b"x" * 256 + b",2024-03-20,1,1,1,1",
        b"1,121," + "😀".encode() * 255 + b",2024-03-20,1,1,51,51",
        b"1,121, " + b"x" * 255 + b" ,2024-03-20,1,1,52,52",
    ),
    "stripped_quotes": lambda: lines(HEADER, *[b'1","121","sugar","2024-03-20","1","1","73","73'] * 3, GOOD % (74, 74)),
    "unclosed_quote_at_the_end": lambda: lines(HEADER, GOOD % (53, 53)) + b'1,121,"sugar,2024-03-20,1,1,1,1',
    "a_thousand_columns": lambda: lines(
        HEADER + b"".join(b",c%d" % n for n in range(1000)), GOOD % (54, 54) + b",v" * 1000, GOOD % (55, 55) + b",v" * 999
    ),
    # Compressed
    "gzip": lambda: zipped(lines(HEADER, GOOD % (56, 56), b"x,121,sugar,2024-03-20,1,1,1,1")),
    "gzip_two_members": lambda: zipped(lines(HEADER, GOOD % (57, 57)) + b"1,121,su") + zipped(b"gar,2024-03-20,1,1,58,58\n"),
    "gzip_padded_with_zeros": lambda: zipped(sale(59)) + bytes(512),
    "gzip_upper_case": lambda: zipped(sale(60)),
    "gzip_of_nothing": lambda: zipped(b""),
    "gzip_header_only": lambda: zipped(HEADER + b"\n"),
    "gzip_with_bom_and_semicolons": lambda: zipped(b"\xef\xbb\xbf" + sale(61).replace(b",", b";")),
    "gzip_damaged": lambda: with_broken_checksum(zipped(sale(62))),
    "gzip_damaged_behind_many_rows": lambda: with_broken_checksum(zipped(lines(HEADER, *sales(63, 20_000)))),
    "gzip_truncated": lambda: zipped(sale(64))[:-12],
    "gzip_magic_only": lambda: b"\x1f\x8b",
    "gzip_with_rubbish_behind": lambda: zipped(sale(65)) + b"rubbish",
    "gzip_name_plain_text": lambda: sale(66),
    "gzip_name_zip_file": lambda: b"PK\x03\x04" + bytes(range(256)),
    "gzip_name_zero_bytes": lambda: b"",
    "gzip_binary_inside": lambda: zipped(bytes((n * 131) % 256 for n in range(3000))),
    # Ignored
    "folder_marker": lambda: b"",
    "nested_folder_marker": lambda: b"",
    "hadoop_folder_marker": lambda: b"",
    "checksum_file": lambda: b"crc\x00\x00\x02\x00",
    "checksum_of_a_hidden_file": lambda: sale(67),
    "success_marker": lambda: b"",
    "success_marker_in_a_folder": lambda: sale(68),
    "macos_file": lambda: b"\x00\x00\x00\x01Bud1",
    "windows_file": lambda: sale(69),
    "upload_in_progress": lambda: sale(70),
}

# Files that are about their name: one good row each, worth this much.
NAMED = {
    "name_blank": 101,
    "name_leading_blank": 102,
    "name_trailing_blank": 103,
    "name_plus": 104,
    "name_percent": 105,
    "name_percent_2f": 106,
    "name_percent_20": 107,
    "name_percent_broken": 108,
    "name_single_quote": 109,
    "name_double_quote": 110,
    "name_backtick": 111,
    "name_brackets": 112,
    "name_braces": 113,
    "name_star": 114,
    "name_question": 115,
    "name_hash": 116,
    "name_ampersand": 117,
    "name_glob": 118,
    "name_backslash": 119,
    "name_colon": 120,
    "name_semicolon": 121,
    "name_angle": 122,
    "name_dollar": 123,
    "name_format": 124,
    "name_composed": 125,
    "name_decomposed": 126,
    "name_emoji": 127,
    "name_scripts": 128,
    "name_long": 129,
    "name_long_emoji": 130,
    "name_longest_segment": 131,
    "name_hidden": 132,
    "name_dot": 133,
    "name_hidden_folder": 134,
    "name_upper_a": 135,
    "name_lower_a": 136,
    "name_in_a": 137,
    "name_in_b": 138,
    "name_sql": 139,
    "name_sql_or": 140,
    "name_sql_comment": 141,
    "name_upper_ending": 142,
    "name_no_ending": 143,
    "name_txt": 144,
    "name_only_ending": 145,
    "name_partition": 146,
    "name_success_like": 147,
    "name_success_folder": 148,
    "name_crc_like": 149,
    "name_sales_data": 150,
    "name_my_sales_data": 151,
    "name_prefix_again": 152,
    "name_dashes": 153,
    "name_null": 154,
    "name_dots": 155,
    "name_tab": 156,
    "name_control": 157,
    "name_del": 158,
    "name_newline": 159,
    "name_bom": 160,
    "name_right_to_left": 161,
    "name_magic": 162,
    "name_temporary": 163,
    "name_gz_in_the_middle": 164,
    "name_trailing_dot": 165,
    "name_noncharacter": 166,
}


def body(name: str) -> bytes:
    """Return the bytes of a case."""
    if name in BUILT:
        return BUILT[name]()
    if name in NAMED:
        return sale(NAMED[name])
    return (FILES / f"{name}.csv").read_bytes()
