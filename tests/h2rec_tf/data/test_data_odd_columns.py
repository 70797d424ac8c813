"""One table in every format is one catalogue, and a column that nobody needs decides about no row."""

import csv
import decimal
import json
import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from h2rec_tf.data.catalogue import read_catalogue
from h2rec_tf.data.embeddings import read_embeddings
from h2rec_tf.data.interactions import read_interactions
from h2rec_tf.data.problems import Problems
from h2rec_tf.errors import InputError

WORDS = st.text("aBé ,;:'x7|", max_size=6)
TAGS = st.lists(st.text("pqé", min_size=1, max_size=3), max_size=3)
COLUMNS = ("item_id", "title", "tags", "year", "price", "vector")


@st.composite
def tables(draw):
    ids = draw(st.lists(st.text("iJ0é-", min_size=1, max_size=4), min_size=1, max_size=6, unique=True))
    row = st.tuples(
        st.none() | WORDS,
        st.none() | TAGS,
        st.none() | st.integers(-3, 2030),
        st.none() | st.floats(0, 99, width=32),
        st.lists(st.floats(-9, 9, width=32), min_size=2, max_size=2),
    )
    return [(item_id, *draw(row)) for item_id in ids]


# Types that mean the same in Parquet.
TEXT_TYPES = [pa.string(), pa.large_string(), pa.binary(), pa.large_binary(), pa.dictionary(pa.int32(), pa.string())]
TAG_TYPES = [pa.list_(pa.string()), pa.large_list(pa.large_string())]
YEAR_TYPES = [pa.int64(), pa.int16(), pa.decimal128(38, 0)]
VECTOR_TYPES = [pa.list_(pa.float32()), pa.large_list(pa.float64()), pa.list_(pa.float32(), 2)]


def as_type(values, kind):
    if pa.types.is_dictionary(kind):
        return pa.array(values, kind.value_type).dictionary_encode()
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return pa.array([None if value is None else value.encode() for value in values], kind)
    if pa.types.is_decimal(kind):
        return pa.array([None if value is None else decimal.Decimal(value) for value in values], kind)
    return pa.array(values, kind)


def write_all(folder, rows, kinds):
    for name, delimiter in (("i.csv", ","), ("i.tsv", "\t")):
        with (folder / name).open("w", newline="") as file:
            writer = csv.writer(file, delimiter=delimiter)
            writer.writerow(COLUMNS)
            for item_id, title, tags, year, price, vector in rows:
                writer.writerow([item_id, title, "|".join(tags or []), year, price, str(vector)])
    lines = [json.dumps(dict(zip(COLUMNS, row, strict=True))) + "\n" for row in rows]
    (folder / "i.jsonl").write_text("".join(lines))
    columns = [as_type(list(values), kind) for values, kind in zip(zip(*rows, strict=True), kinds, strict=True)]
    parquet.write_table(pa.table(columns, list(COLUMNS)), folder / "i.parquet")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tables")


@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    rows=tables(),
    kinds=st.tuples(
        st.sampled_from(TEXT_TYPES),
        st.sampled_from(TEXT_TYPES),
        st.sampled_from(TAG_TYPES),
        st.sampled_from(YEAR_TYPES),
        st.sampled_from([pa.float64(), pa.float32()]),
        st.sampled_from(VECTOR_TYPES),
    ),
    named=st.booleans(),
)
def test_all_formats_give_the_same_catalogue(folder, rows, kinds, named):
    write_all(folder, rows, kinds)
    expected = {}
    for item_id, title, tags, year, _, vector in rows:
        parts = [title or "", *(tags or []), *([str(year)] if named and year is not None else [])]
        text = re.sub(r"[|\s]+", " ", " ".join(parts)).strip()
        expected[item_id] = (title or "", text, "|".join(dict.fromkeys(tags or [])), tuple(np.float32(vector).tolist()))
    text_columns = ("title", "tags", "year") if named else ()
    # A column of blanks alone is no text in CSV, which cannot tell it from one of nothing.
    wordless = not named and not any(re.search(r"[^\d\s]", row[1] or "") for row in rows)
    for name in ("i.csv", "i.tsv", "i.jsonl", "i.parquet"):
        catalogue, problems = read_catalogue(
            str(folder / name), category_column="tags", vector_column="vector", text_columns=text_columns
        )
        assert not problems.total and not problems.notes
        read = zip(
            catalogue.titles,
            [None] * len(rows) if wordless else catalogue.texts,
            catalogue.categories,
            map(tuple, catalogue.vectors.tolist()),
            strict=True,
        )
        wanted = {key: (title, None if wordless else text, *rest) for key, (title, text, *rest) in expected.items()}
        assert dict(zip(catalogue.item_ids, read, strict=True)) == wanted, name


def save(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_fields_that_change_their_type_cost_no_item(tmp_path):
    # As in the metadata of large shops: a rank that is text or a list, films or nothing, a price in words.
    rows = [
        {"item_id": "a", "title": "A", "rank": "1 in Toys", "price": 3.5, "films": [{"title": "t"}], "ok": True},
        {"item_id": "b", "title": "B", "rank": ["2 in Games", None, "3 in Toys"], "price": None, "films": []},
        {"item_id": "c", "title": {"en": "C"}, "rank": {"n": 1}, "price": "from 4", "films": [], "ok": False},
        {"item_id": "d", "title": 1984, "rank": [[1]], "price": 7, "films": [{"title": "u"}], "similar": [1, 2]},
        {"item_id": "e", "title": False, "rank": "x|y", "price": "\ud800", "films": []},
    ]
    path = save(tmp_path / "i.jsonl", rows)
    catalogue, problems = read_catalogue(path)
    texts = dict(zip(catalogue.item_ids, catalogue.texts, strict=True))
    assert texts == {
        "a": "A 1 in Toys 3.5",
        "b": "B 2 in Games 3 in Toys",
        "c": "from 4",
        "d": "1984 7",
        "e": "x y",
    }
    assert problems.total == 0
    assert problems.notes == {
        f"values of `title` in {path} that are no text": 2,
        f"values of `rank` in {path} that are no text": 2,
        f"values of `price` in {path} that are no text": 1,
    }
    only_titles, problems = read_catalogue(path, text_columns=("title",))
    assert sorted(only_titles.texts) == ["", "", "1984", "A", "B"]
    assert problems.notes == {f"values of `title` in {path} that are no text": 2}


@pytest.mark.parametrize(
    ("options", "pieces"),
    [
        ({"text_columns": ("films",)}, ["column `films`: holds no text but such as [{", "--text-column NAME"]),
        ({"title_column": "films"}, ["column `films`: holds no text", "--title-column NAME"]),
        ({"category_column": "films"}, ["column `films`: holds no text", "--category-column NAME"]),
        ({"item_column": "films"}, ["`films` holds bool; ids must be strings or integers"]),
        ({"vector_column": "v"}, ["i.jsonl:2: column `v`: [1, null] where other rows hold a list of numbers"]),
    ],
)
def test_a_column_that_is_named_must_hold_what_it_is_named_for(tmp_path, options, pieces):
    rows = [{"item_id": str(row), "title": "T", "films": [{"name": "x\ny"}], "v": [1, 2]} for row in range(3)]
    rows[1]["v"][1] = None
    with pytest.raises(InputError) as caught:
        read_catalogue(save(tmp_path / "i.jsonl", rows), **options)
    assert all(piece in str(caught.value) for piece in pieces), caught.value
    assert "\n" not in str(caught.value)


def test_a_title_that_is_no_text_is_not_replaced_by_another_column(tmp_path):
    path = save(tmp_path / "i.jsonl", [{"item_id": str(row), "title": {"en": "T"}, "note": "n"} for row in range(3)])
    with pytest.raises(InputError, match="column `title`: holds no text but such as"):
        read_catalogue(path)
    titles = pa.array([{"en": "T"}] * 3)
    parquet.write_table(pa.table({"item_id": ["a", "b", "c"], "title": titles, "note": ["n"] * 3}), tmp_path / "i.pq")
    with pytest.raises(InputError, match="column `title`: holds struct<en: string>, neither text nor numbers"):
        read_catalogue(str(tmp_path / "i.pq"))


def test_odd_types_in_parquet_cost_values_not_rows(tmp_path):
    table = pa.table(
        {
            "item_id": pa.array([b"a", b"b", b"c"], pa.binary(1)),
            "title": pa.array(["A", None, "C"]).dictionary_encode(),
            "tags": pa.array([["x", None, "y"], [None], None]),
            "picture": pa.array([b"\xff\xd8", b"words", None]),
            "size": pa.array([{"w": 1}, None, {"w": 2}]),
            "parts": pa.array([[{"n": "x"}], [], None]),
            "map": pa.array([[("k", "v")], None, []], pa.map_(pa.string(), pa.string())),
            "nothing": pa.nulls(3),
            "on": pa.array([True, False, None]),
        }
    )
    parquet.write_table(table, tmp_path / "i.parquet")
    catalogue, problems = read_catalogue(str(tmp_path / "i.parquet"), category_column="tags")
    read = dict(zip(catalogue.item_ids, zip(catalogue.texts, catalogue.categories, strict=True), strict=True))
    assert read == {"a": ("A x y", "x|y"), "b": ("words", ""), "c": ("C", "")}
    assert problems.notes == {f"values of `picture` in {tmp_path / 'i.parquet'} that are no text": 1}
    with pytest.raises(InputError, match="`size`: holds struct<w: int64>"):
        read_catalogue(str(tmp_path / "i.parquet"), text_columns=("size",))


def test_required_bytes_that_are_no_text_reject_the_row(tmp_path):
    parquet.write_table(pa.table({"item_id": [b"a", b"\xff", b"c"], "title": ["A", "B", "C"]}), tmp_path / "i.parquet")
    with pytest.raises(InputError, match=r"i\.parquet:2: column `item_id`: not UTF-8 \(byte 0xff\)"):
        read_catalogue(str(tmp_path / "i.parquet"))


def test_ids_of_38_digits_are_their_digits(tmp_path):
    digits = ["9" * 38, "12", "-3"]
    numbers = pa.array([decimal.Decimal(text) for text in digits], pa.decimal128(38, 0))
    parquet.write_table(
        pa.table({"user_id": numbers, "item_id": numbers, "timestamp": [1, 2, 3]}), tmp_path / "a.parquet"
    )
    read = read_interactions(str(tmp_path / "a.parquet"))
    assert read.item_ids[read.items].tolist() == read.user_ids[read.users].tolist() == digits
    assert (read.timestamps // 10**9).tolist() == [1, 2, 3]
    parquet.write_table(pa.table({"item_id": numbers.cast(pa.decimal256(40, 2)), "title": digits}), tmp_path / "b.pq")
    with pytest.raises(InputError, match=r"`item_id` holds decimal256\(40, 2\); ids must be strings or integers"):
        read_catalogue(str(tmp_path / "b.pq"))


def test_a_parquet_column_that_stands_twice_is_refused_where_it_is_read(tmp_path):
    arrays = [pa.array(values) for values in (["a", "b"], ["A", "B"], ["x", "y"])]
    parquet.write_table(pa.table(arrays, ["item_id", "title", "title"]), tmp_path / "i.parquet")
    with pytest.raises(InputError, match="column `title`: the file has this column twice"):
        read_catalogue(str(tmp_path / "i.parquet"))
    parquet.write_table(pa.table(arrays, ["item_id", "title", "title.long"]), tmp_path / "i.parquet")
    assert sorted(read_catalogue(str(tmp_path / "i.parquet"), text_columns=("title",))[0].texts) == ["A", "B"]


def test_vectors_beside_columns_of_any_kind(tmp_path):
    rows = [{"item_id": "a", "v": [1, 2], "meta": {"x": 1}, "tags": ["t"]}, {"item_id": "b", "v": [3, 4], "meta": "no"}]
    read = read_embeddings(save(tmp_path / "v.jsonl", rows), item_column="item_id", problems=Problems())
    assert (read.column, read.matrix.tolist(), read.rows) == ("v", [[1, 2], [3, 4]], {"a": 0, "b": 1})
