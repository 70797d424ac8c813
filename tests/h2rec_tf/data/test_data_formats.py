"""All file formats give the same interactions, ids stay strings, and row numbers are those of the file."""

import csv
import gzip
import io
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from h2rec_tf.data.interactions import Columns, Interactions, read_interactions
from h2rec_tf.data.problems import Problems
from h2rec_tf.data.tables import read_table
from h2rec_tf.data.text_format import TextFormat

ROWS = [("007", "1.0", 5), ("7", "é,|", 1_400_000_000), ("NA", 'a "b" c', 0), ("u v", "nan", 3), ("007", "1.0", 5)]


def as_rows(interactions: Interactions) -> list[tuple[str, str, int]]:
    users = interactions.user_ids[interactions.users].tolist()
    items = interactions.item_ids[interactions.items].tolist()
    seconds, rest = np.divmod(interactions.timestamps, 10**9)
    assert not rest.any()
    return list(zip(users, items, seconds.tolist(), strict=True))


def separated(delimiter: str) -> bytes:
    rows = [("user_id", "item_id", "timestamp"), *ROWS]
    if delimiter == "\t":
        # Quotes are text between tabs.
        return "".join("\t".join(map(str, row)) + "\r\n" for row in rows).encode()
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows(rows)
    return text.getvalue().encode()


def json_lines() -> bytes:
    names = ("user_id", "item_id", "timestamp")
    return "".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in ROWS).encode()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", separated(",")),
        ("a.tsv", separated("\t")),
        ("a.jsonl", json_lines()),
        ("a.csv.gz", gzip.compress(separated(","))),
        ("two_members.tsv.gz", gzip.compress(separated("\t")[:40]) + gzip.compress(separated("\t")[40:])),
        ("a.jsonl.gz", gzip.compress(json_lines())),
        ("gzip_by_content.csv", gzip.compress(separated(","))),
        ("not_gzip_in_fact.csv.gz", separated(",")),
        ("by_content_tabs", separated("\t")),
        ("by_content_commas.txt", separated(",")),
        ("by_content_objects.log", json_lines()),
        ("byte_order_mark.csv", b"\xef\xbb\xbf" + separated(",")),
        ("byte_order_mark.jsonl", b"\xef\xbb\xbf" + json_lines()),
        ("unix_lines.csv", separated(",").replace(b"\r\n", b"\n")),
        ("old_mac_lines.csv", separated(",").replace(b"\r\n", b"\r")),
        ("old_mac_lines.tsv", separated("\t").replace(b"\r\n", b"\r")),
        ("padded.csv.gz", gzip.compress(separated(",")) + bytes(512)),
        (
            "members_and_padding.jsonl.gz",
            gzip.compress(json_lines()[:40]) + gzip.compress(json_lines()[40:]) + bytes(9),
        ),
    ],
)
def test_text_formats_agree(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert as_rows(read_interactions(str(tmp_path / name))) == ROWS


@pytest.mark.parametrize("name", ["a.parquet", "by_content"])
@pytest.mark.parametrize("categories", [False, True])
def test_parquet_agrees(tmp_path, name, categories):
    frame = pd.DataFrame(ROWS, columns=["user_id", "item_id", "timestamp"])
    if categories:
        frame = frame.astype({"user_id": "category", "item_id": "category"})
    frame.to_parquet(tmp_path / name)
    assert as_rows(read_interactions(str(tmp_path / name))) == ROWS


def test_integer_ids_become_their_digits(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"u": 7, "i": 12, "t": 1}\n{"u": "x", "i": 12345678901234567890, "t": 2.0}\n')
    pd.DataFrame({"u": [7, 8], "i": [12, 13], "t": [1, 2]}).to_parquet(tmp_path / "a.parquet")
    columns = Columns(user="u", item="i", timestamp="t")
    assert as_rows(read_interactions(str(tmp_path / "a.jsonl"), columns)) == [
        ("7", "12", 1),
        ("x", "12345678901234567890", 2),
    ]
    assert as_rows(read_interactions(str(tmp_path / "a.parquet"), columns)) == [("7", "12", 1), ("8", "13", 2)]


def test_order_and_number_of_columns_do_not_matter(tmp_path):
    (tmp_path / "a.csv").write_text(' timestamp ,extra,item_id,"user_id"\n3,,i,u\n')
    assert as_rows(read_interactions(str(tmp_path / "a.csv"))) == [("u", "i", 3)]


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("lines")


FIELDS = st.text(st.sampled_from('ab ,"\n\r\t|é'), max_size=6)


@given(
    rows=st.lists(st.lists(FIELDS, min_size=1, max_size=4), min_size=1, max_size=12),
    blanks=st.lists(st.booleans(), min_size=12, max_size=12),
    end=st.sampled_from(["\n", "\r\n"]),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_csv_line_numbers(directory, rows, blanks, end):
    """Quoted line breaks, blank lines and rows of another length move no row number."""
    text, expected, wrong, line = f"a,b,c{end}", [], [], 2
    for fields, blank in zip(rows, blanks, strict=False):
        if blank:
            text, line = text + end, line + 1
        buffer = io.StringIO()
        csv.writer(buffer, quoting=csv.QUOTE_ALL, lineterminator=end).writerow(fields)
        (expected if len(fields) == 3 else wrong).append((line, tuple(fields)))
        text += buffer.getvalue()
        line += len(buffer.getvalue().replace("\r\n", "\n").replace("\r", "\n").split("\n")) - 1
    path = directory / "a.csv"
    path.write_bytes(text.encode())
    problems = Problems()
    table = read_table(str(path), None, problems, text=TextFormat(quoting="double"))
    found = list(zip(*(table.columns[name].to_pylist() for name in "abc"), strict=True))
    assert found == [fields for _, fields in expected]
    assert table.locate(np.arange(len(table))).tolist() == [number for number, _ in expected]
    assert [problem.row for problem in problems.ordered()] == [number for number, _ in wrong]
