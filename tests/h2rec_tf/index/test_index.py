"""Building, loading, searching and evaluating an index, against exact search in NumPy."""

from __future__ import annotations

import dataclasses
import math
import pathlib
import shutil

import numpy as np
import pytest
from support import run_python

from h2rec_tf.config import Config, IndexConfig
from h2rec_tf.errors import InputError
from h2rec_tf.index.evaluate import IndexReport, evaluate_index
from h2rec_tf.index.scann_index import ABSENT, Index, IndexManifest, build_index, load_index, make_searcher
from h2rec_tf.index.settings import IndexSettings

ITEMS, SIZE = 600, 24
KINDS = ("brute", "ah", "tree_ah")


def _config(**changes: object) -> IndexConfig:
    return Config().replace(**{f"index.{key}": value for key, value in changes.items()}).index


def _vectors(rows: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(20, SIZE))
    return (centres[generator.integers(0, 20, rows)] + 0.5 * generator.normal(size=(rows, SIZE))).astype(np.float32)


VECTORS, QUERIES = _vectors(ITEMS, 1), _vectors(40, 2)
IDS = np.asarray([f"Größe {row}" for row in range(ITEMS)], object)


@pytest.fixture(scope="module", params=KINDS)
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, IndexManifest]:
    directory = tmp_path_factory.mktemp("index") / "built"
    config = _config(kind=request.param, leaves=12, leaves_to_search=12)
    manifest = build_index(VECTORS, IDS, str(directory), config=config)
    # What is on disk does not depend on where it is.
    moved = directory.with_name("moved")
    shutil.move(directory, moved)
    return str(moved), manifest


@pytest.fixture(scope="module")
def index(built: tuple[str, IndexManifest]) -> Index:
    return load_index(built[0])


def _exact(queries: np.ndarray) -> np.ndarray:
    return np.argsort(-(queries @ VECTORS.T), axis=1, kind="stable")


@pytest.mark.parametrize("batch", [1, 7])
def test_finds_the_best_items_with_their_inner_products(index: Index, batch: int) -> None:
    rows, scores = index.search(QUERIES[:batch], 30)
    assert rows.dtype == np.int32 and scores.dtype == np.float32 and rows.shape == scores.shape == (batch, 30)
    for query, found, values in zip(QUERIES[:batch], rows, scores, strict=True):
        assert len(set(found) & set(_exact(query[None])[0, :30])) >= 29
        np.testing.assert_allclose(values, VECTORS[found] @ query, rtol=1e-4, atol=1e-4)
        assert (np.diff(values) <= 1e-5).all()
    assert index.ids(rows)[0].tolist() == [f"Größe {row}" for row in rows[0]]


def test_excluded_items_never_come_back_and_lists_stay_full(index: Index) -> None:
    excluded = _exact(QUERIES)[:, :25].astype(np.int32)
    excluded[0, 5:] = ABSENT
    rows, _ = index.search(QUERIES, 30, excluded=excluded)
    assert rows.shape == (len(QUERIES), 30) and (rows != ABSENT).all()
    for found, barred in zip(rows, excluded, strict=True):
        assert not set(found) & set(barred)
        assert len(set(found)) == len(found)


def test_places_without_an_item_are_marked(index: Index) -> None:
    everything = np.tile(np.arange(ITEMS - 2, dtype=np.int32), (2, 1))
    rows, scores = index.search(QUERIES[:2], 5, excluded=everything)
    for found, values in zip(rows, scores, strict=True):
        assert set(found[:2]) == {ITEMS - 2, ITEMS - 1} and found[2:].tolist() == [ABSENT] * 3
        assert np.isinf(values[2:]).all() and np.isfinite(values[:2]).all()
    assert index.ids(rows)[0, 2:].tolist() == ["", "", ""]
    assert index.search(QUERIES[:1], 10 * ITEMS)[0].shape == (1, ITEMS)


def test_report_measures_recall_and_names_what_is_wrong(index: Index, tmp_path: pathlib.Path) -> None:
    report = evaluate_index(index, VECTORS, QUERIES, k=20)
    assert report.recall > 0.97 and report.k == 20 and report.items == ITEMS and report.queries == len(QUERIES)
    assert 0.0 < report.p50_ms <= report.p99_ms and report.bytes > 0
    report.save(str(tmp_path / "report.json"))
    assert IndexReport.load(str(tmp_path / "report.json")) == report
    assert report.problems(_config(target_recall=0.9)) == []
    slow = report.problems(_config(target_recall=1.0, max_p99_ms=1e-6))
    assert [line for line in slow if "p99" in line]
    # What is not a number is within no limit.
    for name, limit in (("recall", "target_recall"), ("p99_ms", "max_p99_ms")):
        broken = dataclasses.replace(report, **{name: math.nan})
        (line,) = broken.problems(_config(**{"target_recall": 0.9, limit: 0.5}))
        assert f"index.{limit}" in line


def test_recall_of_an_index_that_looks_into_one_leaf_is_what_numpy_says(tmp_path: pathlib.Path) -> None:
    build_index(VECTORS, IDS, str(tmp_path / "i"), config=_config(kind="tree_ah", leaves=12, leaves_to_search=1))
    index = load_index(str(tmp_path / "i"))
    report = evaluate_index(index, VECTORS, QUERIES, k=20)
    found = [index.search(query[None], 20)[0][0] for query in QUERIES]
    expected = [len(set(row) & set(exact[:20])) / 20 for row, exact in zip(found, _exact(QUERIES), strict=True)]
    assert report.recall == pytest.approx(np.mean(expected)) and report.recall < 0.95
    assert "recall@20" in report.problems(_config(target_recall=0.98))[0]
    wide, _ = index.search(QUERIES[:1], 20, leaves_to_search=12)
    assert len(set(wide[0]) & set(_exact(QUERIES[:1])[0, :20])) >= 19


@pytest.mark.parametrize(
    ("items", "kind", "leaves"),
    [(1, "brute", 0), (19_999, "brute", 0), (20_000, "ah", 0), (99_999, "ah", 0), (1_000_000, "tree_ah", 1000)],
)
def test_kind_follows_the_size_of_the_catalogue(items: int, kind: str, leaves: int) -> None:
    settings = IndexSettings.derive(IndexConfig(), items=items)
    assert (settings.kind, settings.leaves, settings.leaves_to_search) == (kind, leaves, leaves // 10)
    assert settings.reorder == 400


def test_items_with_equal_vectors_and_a_single_item(tmp_path: pathlib.Path) -> None:
    vectors = np.ones((30, 3), np.float32)
    build_index(vectors, IDS[:30], str(tmp_path / "i"), config=_config())
    report = evaluate_index(load_index(str(tmp_path / "i")), vectors, vectors[:2], k=4)
    assert report.recall == 1.0
    build_index(vectors[:1], IDS[:1], str(tmp_path / "i"), config=_config())
    assert load_index(str(tmp_path / "i")).search(vectors[:1], 5)[0].tolist() == [[0]]


def test_a_searcher_with_ids_takes_upserts() -> None:
    settings = IndexSettings.derive(_config(kind="ah"), items=ITEMS)
    searcher = make_searcher(VECTORS, settings, docids=IDS.tolist())
    searcher.upsert(["new"], 9 * QUERIES[:1])
    assert searcher.search(QUERIES[0], final_num_neighbors=1)[0] == ["new"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ids": IDS[:-1]}, "600 vectors for 599 item ids"),
        ({"ids": np.asarray([*IDS[:-1], IDS[0]], object)}, "stands there twice"),
        ({"ids": np.asarray([*IDS[:-1], "a\nb"], object)}, "row 599"),
        ({"vectors": np.where(np.arange(ITEMS)[:, None] == 7, np.nan, VECTORS)}, "row 7"),
        ({"vectors": VECTORS[:20], "ids": IDS[:20], "kind": "tree_ah"}, "at least 64 items"),
    ],
)
def test_what_cannot_be_indexed_is_named_and_nothing_is_written(
    change: dict[str, object], message: str, tmp_path: pathlib.Path
) -> None:
    arguments = {"vectors": VECTORS, "ids": IDS, "kind": "auto", **change}
    with pytest.raises(InputError, match=message):
        build_index(
            arguments["vectors"],  # type: ignore[arg-type]
            arguments["ids"],  # type: ignore[arg-type]
            str(tmp_path / "i"),
            config=_config(kind=arguments["kind"]),
        )
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_searched_or_loaded_is_named(
    index: Index, built: tuple[str, IndexManifest], tmp_path: pathlib.Path
) -> None:
    with pytest.raises(InputError, match=r"\[B, 24\]"):
        index.search(QUERIES[:, :5], 3)
    with pytest.raises(InputError, match="`k`"):
        index.search(QUERIES, 0)
    with pytest.raises(InputError, match="built over"):
        evaluate_index(index, VECTORS[:5], QUERIES, k=3)
    with pytest.raises(InputError, match="no queries"):
        evaluate_index(index, VECTORS, QUERIES[:0], k=3)
    with pytest.raises(InputError, match="h2rec index build"):
        load_index(str(tmp_path))
    shutil.copytree(built[0], tmp_path / "i")
    next((tmp_path / "i" / "searcher").glob("*.npy")).write_bytes(b"no array")
    with pytest.raises(InputError, match="build it anew"):
        load_index(str(tmp_path / "i"))


def test_without_scann_the_message_has_the_remedy(tmp_path: pathlib.Path) -> None:
    code = (
        "import sys; sys.modules['scann'] = None\n"
        "import numpy as np, h2rec_tf\n"
        "from h2rec_tf.config import IndexConfig\n"
        "from h2rec_tf.index.scann_index import build_index\n"
        "from h2rec_tf.errors import MissingDependencyError\n"
        "try:\n"
        "    build_index(np.ones((3, 2), np.float32), np.array(['a', 'b', 'c'], object), sys.argv[1],"
        " config=IndexConfig())\n"
        "except MissingDependencyError as error:\n"
        "    print(error)\n"
    )
    assert "pip install 'h2rec-tf[serving]'" in run_python(code, str(tmp_path / "i")).stdout
    assert not list(tmp_path.iterdir())
