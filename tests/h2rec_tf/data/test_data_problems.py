"""Every kind of bad input gives one line with file, row, column, what was found and the remedy."""

import gzip
import json

import numpy as np
import pandas as pd
import pytest

from h2rec_tf.config import DataConfig
from h2rec_tf.data import problems as kinds
from h2rec_tf.data.interactions import read_interactions
from h2rec_tf.data.load import examine_dataset, load_dataset
from h2rec_tf.data.problems import Problems
from h2rec_tf.errors import InputError

GOOD = "user_id,item_id,timestamp\n" + "".join(f"u{row % 4},i{row % 3},{row}\n" for row in range(24))
ITEMS = "".join(json.dumps({"item_id": f"i{item}", "title": f"Item {item}"}) + "\n" for item in range(3))


def error_of(function, *args, **kwargs) -> str:
    with pytest.raises(InputError) as caught:
        function(*args, **kwargs)
    message = str(caught.value)
    assert "\n" not in message
    return message


def write(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


@pytest.mark.parametrize(
    ("name", "content", "pieces"),
    [
        ("a.csv", "", ["a.csv: the file is empty"]),
        ("a.csv", "\n \n", ["a.csv: the file is empty"]),
        ("a.csv.gz", gzip.compress(b"", mtime=0), ["a.csv.gz: the file is empty"]),
        ("a.jsonl", "[1]\n", ["a.jsonl:1: a JSON array", "one object a line"]),
        ("a.csv", "user_id,item_id,timestamp", ["a.csv: there is a header and no row below it"]),
        ("a.csv", "user_id,item_id,timestamp\n\n\n", ["a.csv: there is a header and no row below it"]),
        (
            "a.csv",
            "userId,movie,timestamp\n1,2,3\n",
            ["a.csv: missing column `user_id`", "userId, movie, timestamp", "--user-column userId"],
        ),
        ("a.tsv", "user_id\tmovie\ttimestamp\n1\t2\t3\n", ["missing column `item_id`", "--item-column NAME"]),
        ("a.jsonl", '{"user_id": "u", "item_id": "i", "time_stamp": 1}', ["--timestamp-column time_stamp"]),
        ("a.csv", "user_id,item_id,timestamp,item_id\nu,i,1,j\n", ["a.csv:1: column `item_id`", "twice"]),
        ("a.csv", "us\xe9r,item_id,timestamp\nu,i,1\n".encode("latin-1"), ["a.csv:1:", "not UTF-8", "as UTF-8"]),
        ("a.csv", GOOD.encode("utf-16"), ["a.csv:1:", "the file is UTF-16, not UTF-8", "--encoding utf-16"]),
        ("a.csv", GOOD.encode("utf-16-le"), ["a.csv:1:", "the file is UTF-16-LE", "--encoding utf-16-le"]),
        ("a.csv", GOOD + "u1,i1,soon\n", ["a.csv:26: column `timestamp`: 'soon' is no timestamp", "1 bad row in all"]),
        ("a.csv", GOOD + "u1,i1,\n", ["a.csv:26: column `timestamp`: empty timestamp"]),
        ("a.csv", GOOD + "u1,i1,-3\n", ["a.csv:26: column `timestamp`: '-3' is before 1970 or negative"]),
        ("a.csv", GOOD + "u1,i1,nan\n", ["a.csv:26: column `timestamp`: 'nan' is no timestamp"]),
        ("a.csv", GOOD + "u1, ,3\n", ["a.csv:26: column `item_id`: empty item id"]),
        ("a.csv", GOOD + "\n,i1,3\n", ["a.csv:27: column `user_id`: empty user id"]),
        ("a.csv", GOOD + "u1,i1\n", ["a.csv:26: 2 fields, the header has 3"]),
        (
            "a.csv",
            GOOD + 'u1,"i1,7\nu1,i1,8\n',
            ["a.csv:26: column `item_id`: a quote opens a field and does not close", "1 bad row", "--quoting none"],
        ),
        ("a.csv", GOOD.encode() + b"u1,i\xff,3\n", ["a.csv:26: column `item_id`: not UTF-8 (byte 0xff)"]),
        ("a.csv", GOOD.encode() + b"u1,i\x00,2\n", ["a.csv:26: column `item_id`: the id 'i\\x00' has the control"]),
        ("a.jsonl", '{"user_id": "u"', ["a.jsonl: no line holds a JSON object"]),
        (
            "a.jsonl",
            '\n{"user_id": "u", "item_id": "i", "timestamp": 1}\n{"user_id": "u"\n',
            ["a.jsonl:3: not JSON", "1 bad row in all, 0 allowed", "--max-bad-rows 1"],
        ),
        (
            "a.jsonl",
            b'{"user_id": "u", "item_id": "i", "timestamp": 1}\n{"user_id": "\xff"}\n',
            ["a.jsonl:2: not UTF-8 (byte 0xff)"],
        ),
        (
            "a.jsonl",
            '{"user_id": "u", "item_id": "i", "timestamp": 1}\n{"user_id": 1.5, "item_id": "i", "timestamp": 1}\n',
            ["a.jsonl:2: column `user_id`: 1.5 where other rows hold text"],
        ),
        (
            "a.jsonl",
            '{"user_id": "u", "item_id": "i", "timestamp": 1}\n{"user_id": "\\ud800", "item_id": "i"}\n',
            ["a.jsonl:2: column `user_id`: half a surrogate pair"],
        ),
        (
            "a.jsonl",
            '{"user_id": 1.0, "item_id": "i", "timestamp": 1}\n',
            ["`user_id` holds double", "store them as text"],
        ),
        ("a.jsonl", '{"user_id": "u", "item_id": "i", "timestamp": [1]}\n', ["`timestamp` holds list", "ISO-8601"]),
        ("a.parquet", b"PAR1 and then nothing of it", ["a.parquet: not readable as Parquet"]),
    ],
)
def test_bad_interactions(tmp_path, name, content, pieces):
    message = error_of(read_interactions, write(tmp_path, name, content))
    for piece in [str(tmp_path), *pieces]:
        assert piece in message


def test_no_such_file_and_directory(tmp_path):
    assert "nothing.csv: no such file" in error_of(read_interactions, str(tmp_path / "nothing.csv"))
    assert "the folder has no file of data" in error_of(read_interactions, str(tmp_path))


@pytest.mark.parametrize("name", ["a.csv.gz", "a.jsonl.gz"])
def test_cut_and_damaged_gzip(tmp_path, name):
    rows = [f"u{row},i{row * 7919 % 10007},{row}" for row in range(50_000)]
    lines = ["user_id,item_id,timestamp", *rows]
    if name == "a.jsonl.gz":
        lines = [
            json.dumps(dict(zip(("user_id", "item_id", "timestamp"), row.split(","), strict=True))) for row in rows
        ]
    content = gzip.compress(("\n".join(lines) + "\n").encode())
    whole = read_interactions(write(tmp_path, name, content))
    assert len(whole) == 50_000
    message = error_of(read_interactions, write(tmp_path, name, content[: len(content) // 2]))
    place, text = message.removeprefix(str(tmp_path / name)).split(": ", 1)
    assert 20_000 < int(place.removeprefix(":")) < 30_000
    assert "the gzip stream ends early" in text
    damaged = content[:-8] + bytes(8)
    assert "damaged gzip" in error_of(read_interactions, write(tmp_path, name, damaged))
    assert "gzip stream ends early" in error_of(read_interactions, write(tmp_path, name, content[:5]))


def test_gzipped_parquet_and_decimal_ids(tmp_path):
    frame = pd.DataFrame({"user_id": [1.0], "item_id": ["i"], "timestamp": [1]})
    frame.to_parquet(tmp_path / "a.parquet")
    assert "column `user_id` holds double" in error_of(read_interactions, str(tmp_path / "a.parquet"))
    path = write(tmp_path, "a.parquet.gz", gzip.compress((tmp_path / "a.parquet").read_bytes()))
    assert "decompress it first" in error_of(read_interactions, path)


def test_parquet_rows_count_from_one(tmp_path):
    pd.DataFrame({"user_id": ["u", None], "item_id": ["i", "i"], "timestamp": [1, 2]}).to_parquet(
        tmp_path / "a.parquet"
    )
    assert "a.parquet:2: column `user_id`: empty user id" in error_of(read_interactions, str(tmp_path / "a.parquet"))


def test_rejections_are_counted_and_listed(tmp_path):
    rows = "u1,i1\nu1,i1,soon\n,i1,3\nu1,i1,25\n"
    path = write(tmp_path, "a.csv", GOOD + rows)
    assert "3 bad rows in all, 2 allowed" in error_of(read_interactions, path, max_bad_rows=2)
    interactions = read_interactions(path, max_bad_rows=3)
    assert len(interactions) == 25
    listed = [(problem.row, problem.column, problem.kind) for problem in interactions.problems.ordered()]
    assert listed == [
        (26, "", kinds.MALFORMED_ROW),
        (27, "timestamp", kinds.TIMESTAMP),
        (28, "user_id", kinds.EMPTY_ID),
    ]
    assert interactions.problems.counts == {kinds.MALFORMED_ROW: 1, kinds.TIMESTAMP: 1, kinds.EMPTY_ID: 1}
    # The row number of a later row still counts the rejected ones.
    assert interactions.locate(np.asarray([24])).tolist() == [29]


def test_rows_that_are_not_text_move_no_row_number(tmp_path):
    path = write(tmp_path, "a.csv", b"user_id,item_id,timestamp\nu,\xff,1\n\nu,i,2\nu,i,soon\nu,i,4\n")
    interactions = read_interactions(path, max_bad_rows=2)
    assert [problem.row for problem in interactions.problems.ordered()] == [2, 5]
    assert interactions.locate(np.arange(2)).tolist() == [4, 6]


def test_no_usable_row(tmp_path):
    path = write(tmp_path, "a.csv", "user_id,item_id,timestamp\nu,i,x\nu,i\n")
    assert "no usable row is left (2 rejected)" in error_of(read_interactions, path, max_bad_rows=None)


def test_unknown_items_count_with_the_other_rejections(tmp_path):
    interactions = write(tmp_path, "a.csv", GOOD + "u1,i1,x\nu1,ghost,25\nu2,ghost,26\n")
    items = write(tmp_path, "items.jsonl", ITEMS + '{"item_id": "i0", "title": "again"}\n')
    message = error_of(load_dataset, interactions, items, config=DataConfig(max_bad_rows=3))
    assert "items.jsonl:4: column `item_id`: item 'i0' again" in message
    assert "4 bad rows in all, 3 allowed" in message
    dataset, report = load_dataset(interactions, items, config=DataConfig(max_bad_rows=4))
    assert len(dataset.test) == 4
    rows = [(problem.row, problem.kind) for problem in report.problems.ordered() if problem.file == interactions]
    assert rows == [(26, kinds.TIMESTAMP), (27, kinds.UNKNOWN_ITEM), (28, kinds.UNKNOWN_ITEM)]
    assert "a.csv:27: column `item_id`: item 'ghost' is not in the items file" in "\n".join(report.problem_lines())


def test_nothing_left_is_reported_after_the_problems(tmp_path):
    interactions = write(tmp_path, "a.csv", "user_id,item_id,timestamp\nu,a,1\n")
    items = write(tmp_path, "items.jsonl", ITEMS)
    dataset, report = examine_dataset(interactions, items, config=DataConfig())
    assert dataset is None
    assert "no interaction is left" in report.failure
    assert report.problems.counts == {kinds.UNKNOWN_ITEM: 1}
    assert "item 'a' is not in the items file" in error_of(load_dataset, interactions, items, config=DataConfig())
    assert "no interaction is left" in error_of(load_dataset, interactions, items, config=DataConfig(max_bad_rows=1))


def test_only_so_many_records_are_kept():
    problems = Problems(listed=3)
    for kind in ("a", "b"):
        problems.add_rows(
            "f", np.arange(2, 7), lambda rows: rows + 1, column="", kind=kind, describe=lambda row: f"row {row}"
        )
    assert problems.total == 10
    assert [(problem.row, problem.message) for problem in problems.ordered()] == [
        (3, "row 2"),
        (4, "row 3"),
        (5, "row 4"),
    ]
