"""Titles, texts, vectors and order of the catalogue."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from h2rec_tf.data.catalogue import read_catalogue
from h2rec_tf.data.item_vectors import parse_vectors
from h2rec_tf.data.problems import MISSING_VECTOR
from h2rec_tf.data.sequences import catalogue_order
from h2rec_tf.data.text_format import TextFormat
from h2rec_tf.errors import InputError

FRAME = pd.DataFrame(
    {
        "price": ["3.5", "", "1e3", "7"],
        "tags": ["Adventure|Animation", "Comedy", "", "a  b"],
        "item_id": ["007", "7", "x y", "é"],
        "title": ["Toy\tStory (1995)", "", "9", "Été|2"],
    }
)
TEXTS = {"007": "Toy Story (1995) Adventure Animation", "7": "Comedy", "x y": "9", "é": "Été 2 a b"}
TITLES = dict(zip(FRAME["item_id"], FRAME["title"], strict=True))


def save(tmp_path, frame, name):
    path = tmp_path / name
    if name.endswith(".parquet"):
        frame.to_parquet(path)
    elif name.endswith(".jsonl"):
        frame.to_json(path, orient="records", lines=True, force_ascii=False)
    else:
        frame.to_csv(path, index=False, sep="\t" if name.endswith(".tsv") else ",")
    return str(path)


@pytest.mark.parametrize("name", ["i.csv", "i.tsv", "i.jsonl", "i.parquet"])
def test_formats_agree(tmp_path, name):
    # Without being told, quotes between tabs are text.
    text = TextFormat(quoting="double") if name == "i.tsv" else None
    catalogue, problems = read_catalogue(save(tmp_path, FRAME, name), text=text)
    assert problems.total == 0
    assert dict(zip(catalogue.item_ids, catalogue.texts, strict=True)) == TEXTS
    assert dict(zip(catalogue.item_ids, catalogue.titles, strict=True)) == TITLES
    assert catalogue.vectors is None
    ids = FRAME["item_id"].tolist()
    assert catalogue.item_ids.tolist() == [ids[place] for place in catalogue_order(ids)]


@pytest.mark.parametrize("name", ["i.csv", "i.jsonl", "i.parquet"])
def test_categories_of_a_column(tmp_path, name):
    frame = FRAME.assign(tags=[" Adventure | Animation|Adventure", "Comedy", "", "a  b"])
    if name != "i.csv":
        frame = frame.assign(tags=[["Adventure", "Animation "], ["Comedy", ""], [], ["a  b"]])
    catalogue, _ = read_catalogue(save(tmp_path, frame, name), category_column="tags")
    found = dict(zip(catalogue.item_ids, catalogue.categories, strict=True))
    assert found == {"007": "Adventure|Animation", "7": "Comedy", "x y": "", "é": "a  b"}
    assert read_catalogue(save(tmp_path, frame, name))[0].categories is None
    with pytest.raises(InputError, match="--category-column"):
        read_catalogue(save(tmp_path, frame, name), category_column="tag")


def test_order_of_rows_does_not_matter(tmp_path):
    first, _ = read_catalogue(save(tmp_path, FRAME, "a.csv"))
    second, _ = read_catalogue(save(tmp_path, FRAME.iloc[::-1], "b.csv"))
    for name in ("item_ids", "titles", "texts"):
        assert getattr(first, name).tolist() == getattr(second, name).tolist()


def test_chosen_columns(tmp_path):
    path = save(tmp_path, FRAME, "i.csv")
    catalogue, _ = read_catalogue(path, text_columns=("tags", "price"), title_column="tags")
    texts = dict(zip(catalogue.item_ids, catalogue.texts, strict=True))
    assert texts == {"007": "Adventure Animation 3.5", "7": "Comedy", "x y": "1e3", "é": "a b 7"}
    assert catalogue.titles.tolist()[catalogue.index()["007"] - 1] == "Adventure|Animation"


def test_first_text_column_gives_missing_titles(tmp_path):
    catalogue, _ = read_catalogue(save(tmp_path, FRAME.drop(columns="title"), "i.csv"))
    assert set(catalogue.titles) == set(FRAME["tags"])
    vectors_only = [{"item_id": "a", "v": [1, 2]}, {"item_id": "b", "v": [3, 4]}]
    (tmp_path / "v.jsonl").write_text("\n".join(map(json.dumps, vectors_only)))
    catalogue, _ = read_catalogue(str(tmp_path / "v.jsonl"), vector_column="v")
    assert catalogue.titles.tolist() == catalogue.texts.tolist() == ["", ""]


def test_lists_of_texts(tmp_path):
    rows = [{"item_id": "a", "title": "A", "tags": ["x", "y z"]}, {"item_id": "b", "tags": [], "title": None}]
    (tmp_path / "i.jsonl").write_text("\n".join(map(json.dumps, rows)))
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "i.parquet")
    for name in ("i.jsonl", "i.parquet"):
        catalogue, _ = read_catalogue(str(tmp_path / name))
        assert dict(zip(catalogue.item_ids, catalogue.texts, strict=True)) == {"a": "A x y z", "b": ""}


def test_missing_vectors_in_lists_of_all_kinds():
    for kind in (pa.list_(pa.float32(), 2), pa.list_(pa.float64()), pa.large_list(pa.float16()), pa.list_(pa.int8())):
        values = [np.float16(1), np.float16(2)] if "halffloat" in str(kind) else [1, 2]
        chunks = [pa.array([values, None], kind), pa.array([values], kind)]
        vectors = parse_vectors(pa.chunked_array(chunks), path="f", name="v")
        assert vectors.matrix.tolist() == [[1.0, 2.0], [0.0, 0.0], [1.0, 2.0]]
        assert vectors.failures == {1: (MISSING_VECTOR, "no vector")}


IDS = [f"item {number}" for number in range(40)]
VECTORS = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float16)


def vector_sources(tmp_path):
    """Items files and arguments that give the same vectors."""
    titles = pd.DataFrame({"item_id": IDS, "title": IDS})
    plain = save(tmp_path, titles, "plain.csv")
    lists = [row.astype(float).tolist() for row in VECTORS]
    both = titles.assign(v=lists)
    text = titles.assign(v=[str(row) for row in lists])
    shuffled = np.random.default_rng(1).permutation(40)
    np.savez(tmp_path / "e.npz", item_id=np.asarray(IDS)[shuffled], embedding=VECTORS[shuffled])
    np.savez(tmp_path / "bytes.npz", item_id=np.asarray(IDS).astype("S"), embedding=VECTORS.astype(np.float64))
    parquet.write_table(pa.table({"item_id": IDS, "numbers": lists}), tmp_path / "e.parquet")
    fixed = pa.FixedSizeListArray.from_arrays(pa.array(VECTORS.astype(np.float32).ravel()), 3)
    parquet.write_table(pa.table({"item_id": IDS, "title": IDS, "v": fixed}), tmp_path / "fixed.parquet")
    yield plain, {"embeddings_path": str(tmp_path / "e.npz")}
    yield plain, {"embeddings_path": str(tmp_path / "bytes.npz")}
    yield plain, {"embeddings_path": str(tmp_path / "e.parquet")}
    for name in ("v.jsonl", "v.parquet"):
        yield save(tmp_path, both, name), {"vector_column": "v"}
    yield save(tmp_path, text, "v.csv"), {"vector_column": "v"}
    yield str(tmp_path / "fixed.parquet"), {"vector_column": "v"}


def test_all_sources_of_vectors_agree(tmp_path):
    for path, arguments in vector_sources(tmp_path):
        catalogue, problems = read_catalogue(path, **arguments)
        assert problems.total == 0
        assert catalogue.vectors.dtype == np.float32
        expected = VECTORS[[IDS.index(item_id) for item_id in catalogue.item_ids]]
        np.testing.assert_allclose(catalogue.vectors, expected, rtol=1e-6)
        assert catalogue.texts.tolist() == catalogue.item_ids.tolist()


def test_rejected_items_leave_the_rest_in_order(tmp_path):
    rows = [{"item_id": item_id, "title": item_id, "v": [float(place), 1.0]} for place, item_id in enumerate(IDS)]
    rows[3]["v"] = [1.0]
    rows[5]["item_id"] = ""
    rows[7]["item_id"] = IDS[0]
    (tmp_path / "i.jsonl").write_text("\n".join(map(json.dumps, rows)))
    catalogue, problems = read_catalogue(str(tmp_path / "i.jsonl"), vector_column="v", max_bad_rows=3)
    assert [problem.row for problem in problems.ordered()] == [4, 6, 8]
    assert len(catalogue) == 37
    assert catalogue.vectors[:, 0].tolist() == [IDS.index(item_id) for item_id in catalogue.item_ids]
    assert catalogue.titles.tolist() == catalogue.item_ids.tolist()
