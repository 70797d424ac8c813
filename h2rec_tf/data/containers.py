"""Files that are no text: archives, spreadsheets, pickles and others, told by their first bytes."""

from __future__ import annotations

_UNPACK = "unpack it first and give the file inside"
_EXPORT = "save it as CSV"

# First bytes -> what the file is, and the remedy.
_SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (b"PK\x03\x04", "a zip archive or an Excel workbook", "unzip it first, or save the sheet as CSV"),
    (b"PK\x05\x06", "an empty zip archive", "give the file itself"),
    (b"\xfd7zXZ\x00", "compressed with xz", "decompress it first (`xz -d`), or compress it with gzip"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "decompress it first (`zstd -d`), or compress it with gzip"),
    (b"BZh", "compressed with bzip2", "decompress it first (`bunzip2`), or compress it with gzip"),
    (b"\x04\x22\x4d\x18", "compressed with lz4", "decompress it first (`lz4 -d`), or compress it with gzip"),
    (b"\x1f\x8b", "gzip inside gzip", "decompress it once"),
    (b"\x1f\x9d", "compressed with compress (.Z)", "decompress it first (`gunzip` can)"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook", _EXPORT),
    (b"\x93NUMPY", "a NumPy array", "save the columns as CSV or Parquet"),
    (b"\x89HDF", "HDF5", "save the table as CSV or Parquet"),
    (b"ARROW1", "an Arrow file (Feather)", "save the table as Parquet"),
    (b"FEA1", "a Feather file", "save the table as Parquet"),
    (b"Obj\x01", "Avro", "save the table as Parquet or JSON Lines"),
    (b"ORC", "ORC", "save the table as Parquet"),
    (b"SQLite format 3\x00", "an SQLite database", "export the table as CSV"),
    (b"%PDF-", "a PDF", _EXPORT),
    *((b"\x80" + bytes([protocol]), "a Python pickle", "save the table as Parquet or CSV") for protocol in range(2, 6)),
)
_TAR_PLACE, _TAR = 257, b"ustar"
_PAGES = (b"<!doctype html", b"<html")
_MARKS = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)


def not_text(start: bytes) -> str:
    """What a file is that begins so and is no text, with the remedy; "" if it may be text.

    Args:
        start: its first bytes, decompressed where it is gzip.
    """
    for signature, what, remedy in _SIGNATURES:
        # Letters alone could begin a text: then a byte that no text has must follow.
        if start.startswith(signature) and (not signature.isalnum() or _has_control(start)):
            return f"the file is {what}; {remedy}"
    if start[_TAR_PLACE : _TAR_PLACE + len(_TAR)] == _TAR:
        return f"the file is a tar archive; {_UNPACK}"
    if start.lstrip()[:20].lower().startswith(_PAGES):
        return "the file is an HTML page, as a download that asks for a login gives; download the data itself"
    return ""


def wide_encoding(start: bytes) -> str:
    """The encoding of several bytes a character that a file has by its byte order mark or its NULs; "" if none."""
    for mark, encoding in _MARKS:
        if start.startswith(mark):
            return encoding
    sample = start[:256]
    for place, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        half = sample[place::2]
        if len(half) > 3 and half.count(0) > 0.6 * len(half) and not sample[1 - place :: 2].count(0):
            return encoding
    return ""


def _has_control(start: bytes) -> bool:
    return any(byte < 9 for byte in start[:512])
