"""Ingestion on Beam gives what the library's loader gives on the same rows."""

from __future__ import annotations

import json
import os
import pathlib
import random
import resource
from collections.abc import Callable
from typing import Any

import apache_beam as beam
import numpy as np
import pandas as pd
import pytest
from ingestion_support import ingest, items_artifact, loader_rows, read, read_rejected, written_rows
from tfx.types import standard_artifacts

from h2rec_tf.config import DataConfig
from h2rec_tf.data.load import load_dataset
from h2rec_tf.errors import InputError
from tfx_pipeline.ingestion import rows as rows_module
from tfx_pipeline.ingestion.shards import write_shard

ITEM_IDS = [f"item {number}" for number in range(12)] + ["ä", "12"]


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, standard_artifacts.Examples]:
    """The items file and its examples."""
    folder = tmp_path_factory.mktemp("items")
    path = folder / "items.jsonl"
    path.write_text(
        "".join(json.dumps({"item_id": item_id, "title": f"Title {item_id}"}) + "\n" for item_id in ITEM_IDS)
    )
    return str(path), items_artifact(path, folder)


def random_log(seed: int, rows: int = 160) -> pd.DataFrame:
    """Few users, items and times, so that repeats, ties and short histories occur; some users and items are rare."""
    generator = np.random.default_rng(seed)
    users = np.asarray([f"u{number}" for number in range(14)] + ["", 'é, "x"'], object)
    return pd.DataFrame(
        {
            "user_id": users[np.minimum(generator.geometric(0.15, rows) - 1, 13)],
            "item_id": np.asarray(ITEM_IDS, object)[np.minimum(generator.geometric(0.2, rows) - 1, 13)],
            "timestamp": generator.integers(0, 25, rows) * 10**8,
        }
    )


def spoil(log: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Some rows of every kind that is rejected."""
    generator = random.Random(seed)
    log = log.astype(object)
    for column, value in (
        ("user_id", ""),
        ("item_id", " "),
        ("item_id", "nowhere"),
        ("timestamp", "soon"),
        ("timestamp", -4),
    ):
        for row in generator.sample(range(len(log)), 2):
            log.loc[row, column] = value
    return log


def in_order(log: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Another column that orders ties, with fractions, in any order of rows."""
    steps = np.random.default_rng(seed).permutation(len(log)) / 4 - 9
    return log.assign(step=[f"{step:.2f}" for step in steps])


def write_csv(log: pd.DataFrame, folder: pathlib.Path) -> str:
    log.to_csv(folder / "events.csv.gz", index=False)
    return str(folder / "events.csv.gz")


def write_jsonl(log: pd.DataFrame, folder: pathlib.Path) -> str:
    lines = [json.dumps(row) for row in log.to_dict("records")]
    (folder / "events.jsonl").write_text("\n".join(lines))
    return str(folder / "events.jsonl")


def write_parquet(log: pd.DataFrame, folder: pathlib.Path) -> str:
    log.astype({"user_id": str, "item_id": str, "timestamp": str, "step": str}).to_parquet(folder / "events.parquet")
    return str(folder / "events.parquet")


def write_folder(log: pd.DataFrame, folder: pathlib.Path) -> str:
    for part in range(3):
        place = folder / "log" / f"day={part}"
        place.mkdir(parents=True)
        write_parquet(log.iloc[part::3], place)
        (place / "_SUCCESS").touch()
    log.iloc[:0].to_parquet(place / "empty.parquet")
    (place / "empty.csv").touch()
    return str(folder / "log")


def write_parts(log: pd.DataFrame, folder: pathlib.Path) -> str:
    for part in range(3):
        log.iloc[part::3].to_csv(folder / f"part-{part}.tsv", sep="\t", index=False)
    return str(folder / "part-*.tsv")


@pytest.mark.parametrize(
    ("seed", "write", "changes"),
    [
        (1, write_csv, {}),
        (2, write_jsonl, {"split": "temporal", "validation_fraction": 0.15, "test_fraction": 0.2}),
        (3, write_parquet, {"min_user_interactions": 4, "min_item_interactions": 5}),
        (5, write_folder, {}),
        (4, write_parts, {"split": "temporal", "min_user_interactions": 3, "min_item_interactions": 6}),
        (5, write_parts, {"order_column": "step"}),
        (6, write_jsonl, {"order_column": "step", "repeats": "keep", "time_unit": "ms"}),
        (7, write_parquet, {"repeats": "keep", "time_unit": "us"}),
    ],
)
def test_equals_the_loader_in_any_row_order(
    items: tuple[str, Any],
    seed: int,
    write: Callable[[pd.DataFrame, pathlib.Path], str],
    changes: dict[str, Any],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Several shards also for a small file, so that users meet rounds and cuts from different workers.
    monkeypatch.setattr("tfx_pipeline.components.interaction_example_gen.shard_count", lambda sources: 3)
    log = in_order(spoil(random_log(seed), seed), seed)
    config = DataConfig(max_bad_rows=20, k_core_rounds=5, **changes)
    whole = write_csv(log, tmp_path)
    dataset, report = load_dataset(whole, items[0], config=config)
    shuffled = log.sample(frac=1, random_state=seed)
    found = ingest(write(shuffled, tmp_path), items[1], config, tmp_path)
    assert written_rows(found) == loader_rows(dataset)
    assert warnings_of(found) == [doubt.to_dict() | {"file": ""} for doubt in report.warnings]
    assert found.get_int_custom_property("rejected_rows") == report.problems.total
    assert found.get_int_custom_property("repeated_rows") == report.repeats
    kinds = pd.Series([row["kind"] for row in read_rejected(found)]).value_counts().to_dict()
    assert kinds == report.problems.counts


def test_items_and_vectors_in_several_files(tmp_path: pathlib.Path) -> None:
    """As Spark writes them; the messages name the file and its row."""
    for part in range(3):
        place = tmp_path / "items" / f"day={part}"
        place.mkdir(parents=True)
        ids = ITEM_IDS[part::3]
        pd.DataFrame({"item_id": ids, "title": ids}).to_csv(place / "part.csv", index=False)
        vectors = [[float(len(item_id)), float(part)] for item_id in ids]
        (tmp_path / "vectors").mkdir(exist_ok=True)
        pd.DataFrame({"item_id": ids, "embedding": vectors}).to_parquet(tmp_path / "vectors" / f"{part}.parquet")
    (place / "none.csv").touch()
    (place / "head.csv").write_text("item_id,title\n")
    found = items_artifact(tmp_path / "items", tmp_path, embeddings=str(tmp_path / "vectors"))
    rows = read(found, "items")
    assert {row["item_id"][0].decode(): row["vector"] for row in rows} == {
        item_id: [len(item_id), place % 3] for place, item_id in enumerate(ITEM_IDS)
    }
    with (place / "part.csv").open("a") as file:
        file.write("12,again\n")
    # From another file system, of which copies are read.
    source, vectors_source = f"file://{tmp_path}/items/*/*.csv", f"file://{tmp_path}/vectors/*.parquet"
    copied = items_artifact(source, tmp_path / "more", embeddings=vectors_source, max_bad_rows=3)
    assert sorted(row["vector"] for row in read(copied, "items")) == sorted(row["vector"] for row in rows)
    (problem,) = read_rejected(copied)
    assert (problem["file"], problem["row"]) == (f"file://{place}/part.csv", len(ITEM_IDS[2::3]) + 2)


def test_files_of_a_set_that_have_no_row_are_counted_and_one_that_is_no_part_is_named(
    items: tuple[str, Any], tmp_path: pathlib.Path
) -> None:
    for name, text in (("a", "u,ä,1\nu,12,2\nu,ä,3\nu,12,4\n"), ("b", "")):
        (tmp_path / f"part-{name}.csv").write_text("user_id,item_id,timestamp\n" + text)
    found = ingest(str(tmp_path / "part-*.csv"), items[1], DataConfig(), tmp_path / "out")
    assert found.get_int_custom_property("files_without_rows") == 1
    (tmp_path / "part-b.csv").write_text("u,12,5\n")
    with pytest.raises(InputError, match=r"part-b\.csv: missing column `user_id`; the file has u, 12, 5"):
        ingest(str(tmp_path / "part-*.csv"), items[1], DataConfig(), tmp_path / "more")


def warnings_of(artifact: standard_artifacts.Examples) -> list[dict[str, Any]]:
    """The warnings of an artifact, without the name of the source."""
    path = pathlib.Path(artifact.uri, "warnings", "warnings.jsonl")
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    assert artifact.get_int_custom_property("warnings") == len(rows)
    return [row | {"file": ""} for row in rows]


@pytest.mark.parametrize("split", ["leave_one_out", "temporal"])
def test_without_times_rows_of_files_in_order_of_names(
    items: tuple[str, Any], split: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tfx_pipeline.components.interaction_example_gen.shard_count", lambda sources: 3)
    log = random_log(8)[["user_id", "item_id"]]
    log.loc[[3, 77]] = ["", "ä"]
    # A quoted line break: places of rows are not lines.
    log["note"] = ["line\nbreak" if row % 50 == 7 else "" for row in range(len(log))]
    for part, rows in enumerate(np.array_split(log, 3)):
        rows.to_csv(tmp_path / f"part-{part}.csv", index=False)
    config = DataConfig(time="none", split=split, max_bad_rows=2, validation_fraction=0.15, test_fraction=0.2)
    dataset, _ = load_dataset(write_csv(log, tmp_path), items[0], config=config)
    found = ingest(str(tmp_path / "part-*.csv"), items[1], config, tmp_path)
    assert written_rows(found) == loader_rows(dataset)
    assert all("timestamps" not in row for row in read(found, "train"))
    with pytest.raises(InputError, match=r"--time none: rows of a query come in no order"):
        ingest("bigquery:SELECT 1", items[1], config, tmp_path)


def test_warnings_are_the_loaders(
    items: tuple[str, Any], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tfx_pipeline.components.interaction_example_gen.shard_count", lambda sources: 3)
    # Ids that look alike come to one shard, whichever that is; half of the times are in milliseconds.
    users = [f"{name}{place}{edge}" for place in range(9) for name, edge in (("u", ""), ("U", ""), ("u", " "))]
    rows = [f"{user},{ITEM_IDS[place]},{1_500_000_000 + place}" for user in users for place in range(4)]
    rows += [f"NA,{ITEM_IDS[place % 9]},{1_500_000_000_000 + place}" for place in range(90)]
    (tmp_path / "events.csv").write_text("\n".join(["user_id,item_id,timestamp", *rows]))
    _, report = load_dataset(str(tmp_path / "events.csv"), items[0], config=DataConfig())
    found = warnings_of(ingest(str(tmp_path / "events.csv"), items[1], DataConfig(), tmp_path))
    assert [row["kind"] for row in found] == [
        "placeholder id",
        "blank at the edge of ids",
        "ids that look alike",
        "mixed units",
    ]
    expected = [doubt.to_dict() | {"file": ""} for doubt in report.warnings]
    # The library also names the first rows.
    assert [row["message"] for row in found[:3]] == [row["message"] for row in expected[:3]]
    assert [row["count"] for row in found] == [row["count"] for row in expected] == [90, 9, 27, 90]


def test_rejected_rows_are_listed_as_the_loader_lists_them(
    items: tuple[str, Any], tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "events.csv"
    # A quoted line break and a blank line: records are not lines.
    path.write_text(
        'note,user_id,item_id,timestamp\n"a\nb",b,ä,1\n\n,a,nowhere,2\nx,y\n,a,ä,soon\n,a,12,1\n,a,ä,2\n,a,ä,3\n,a,12,-1\n'
        ',,ä,3\n,"c\nd",ä,3\n"open,a,ä,4\n"doubt" or,"not,ä,5\n'
    )
    config = DataConfig(max_bad_rows=9)
    _, report = load_dataset(str(path), items[0], config=config)
    with caplog.at_level("WARNING"):
        found = read_rejected(ingest(str(path), items[1], config, tmp_path))
    # What the loader notes, the step says.
    assert report.problems.notes
    for what, count in report.problems.notes.items():
        assert f"{what}: {count}, passed over" in caplog.text
    expected = [problem.to_dict() for problem in report.problems.ordered()]
    assert sorted(found, key=lambda row: row["row"]) == expected
    assert [row["row"] for row in expected] == [5, 6, 7, 11, 12, 13, 16]
    assert (report.rows, report.rows_in_file) == (6, 12)


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ("user_id,item_id,timestamp\na,ä,1\na,nowhere,2\na,12,3\nx,y\n", {}),
        ("user_id,thing,timestamp\na,ä,1\n", {}),
        ("", {}),
        ("user_id,item_id,timestamp\na,ä,soon\n", {"max_bad_rows": 5}),
        ("user_id,item_id,timestamp\na,ä,1\na,12,3\n", {}),
        ("user_id,item_id,timestamp\na,ä,1\na,12,1\n", {"split": "temporal"}),
        ("user_id,item_id,timestamp\na,ä,1\na,12,3\n", {"min_user_interactions": 3}),
        ('user_id,item_id,timestamp\na,"ä,1\na,12,3\n', {}),
    ],
)
def test_errors_are_the_loaders(
    items: tuple[str, Any], text: str, changes: dict[str, Any], tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "events.csv"
    path.write_text(text)
    config = DataConfig(**changes)
    with pytest.raises(InputError) as expected:
        load_dataset(str(path), items[0], config=config)
    with pytest.raises(InputError) as caught:
        ingest(str(path), items[1], config, tmp_path)
    assert str(caught.value) == str(expected.value)


def test_the_limit_of_bad_rows_holds_for_items_and_interactions_together(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text("item_id,title\nä,A\nä,again\n12,B\n")
    (tmp_path / "events.csv").write_text("user_id,item_id,timestamp\na,ä,1\na,12,2\na,ä,3\na,nowhere,4\n")
    items = items_artifact(path, tmp_path, max_bad_rows=1)
    assert read_rejected(items) == [
        {"file": str(path), "row": 3, "column": "item_id", "kind": "duplicate item", "message": "item 'ä' again"}
    ]
    with pytest.raises(InputError, match=r"events\.csv:5.*2 bad rows in all, 1 allowed"):
        ingest(str(tmp_path / "events.csv"), items, DataConfig(max_bad_rows=1), tmp_path)
    assert ingest(str(tmp_path / "events.csv"), items, DataConfig(max_bad_rows=2), tmp_path)


def test_a_k_core_that_needs_more_rounds_is_named(items: tuple[str, Any], tmp_path: pathlib.Path) -> None:
    # A chain: each round takes away one end.
    rows = [f"u{link},{ITEM_IDS[item]},{item}" for link in range(10) for item in (link, link + 1)]
    (tmp_path / "events.csv").write_text("\n".join(["user_id,item_id,timestamp", *rows]))
    config = DataConfig(min_user_interactions=2, min_item_interactions=2, k_core_rounds=2)
    with pytest.raises(InputError, match=r"2 rounds .* raise data\.k_core_rounds"):
        ingest(str(tmp_path / "events.csv"), items[1], config, tmp_path)


def test_what_is_said_of_text_files_holds_here_too(tmp_path: pathlib.Path) -> None:
    """MovieLens 1M's shape: no header, two characters between fields, titles in Latin-1; and a row that is odd."""
    titles = "".join(f"{item}::Película {item} (1995)::A|B\n" for item in range(1, 9))
    (tmp_path / "movies.dat").write_bytes(titles.encode("latin-1"))
    rows = [f"{user}::{(user * 3 + step) % 8 + 1}::5::{10**9 + step}" for user in range(6) for step in range(5)]
    (tmp_path / "ratings.dat").write_text("\n".join([*rows, "7::1::5"]))
    options: dict[str, Any] = {
        "delimiter": "::",
        "columns": ("user_id", "item_id", "rating", "timestamp"),
        "header": "none",
        "catalogue_delimiter": "::",
        "catalogue_columns": ("item_id", "title", "genres"),
        "encoding": "latin-1",
        "max_bad_rows": 1,
    }
    config = DataConfig(**options)
    source, catalogue = str(tmp_path / "ratings.dat"), tmp_path / "movies.dat"
    dataset, report = load_dataset(source, str(catalogue), config=config)
    assert (report.rows_in_file, report.rows) == (31, 30)
    items = items_artifact(catalogue, tmp_path, **options)
    assert {row["title"][0].decode() for row in read(items, "items")} == set(dataset.catalogue.titles)
    assert "Película 1 (1995)" in dataset.catalogue.titles
    found = ingest(source, items, config, tmp_path)
    assert written_rows(found) == loader_rows(dataset)
    assert [(row["row"], row["message"]) for row in read_rejected(found)] == [(31, "3 fields, the header has 4")]


def test_an_empty_split_is_named(items: tuple[str, Any], tmp_path: pathlib.Path) -> None:
    rows = [f"a,{item},{time}" for time, item in enumerate(ITEM_IDS)]
    (tmp_path / "events.csv").write_text("\n".join(["user_id,item_id,timestamp", *rows]))
    config = DataConfig(split="temporal", validation_fraction=0.0)
    with pytest.raises(InputError, match=r"split validation has no example.*--validation-fraction"):
        ingest(str(tmp_path / "events.csv"), items[1], config, tmp_path)


def test_a_query_is_read_through_bigquery(
    items: tuple[str, Any], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = random_log(5)
    asked = []

    def fake(query: str, use_standard_sql: bool) -> beam.PTransform:
        asked.append((query, use_standard_sql))
        return beam.Create(
            log.assign(timestamp=pd.to_datetime(log["timestamp"], unit="s", utc=True)).to_dict("records")
        )

    monkeypatch.setattr(beam.io, "ReadFromBigQuery", fake)
    monkeypatch.setattr(rows_module, "_QUERY_ROWS", 50)
    dataset, _ = load_dataset(write_csv(log, tmp_path), items[0], config=DataConfig())
    found = ingest("bigquery:SELECT * FROM shop.clicks", items[1], DataConfig(), tmp_path)
    assert asked == [("SELECT * FROM shop.clicks", True)]
    assert written_rows(found) == loader_rows(dataset)


def test_days_are_read_together_in_their_newest_version(items: tuple[str, Any], tmp_path: pathlib.Path) -> None:
    log = random_log(6)
    for day, part in enumerate(np.array_split(log, 3)):
        folder = tmp_path / f"2024-02-{27 + day}"
        folder.mkdir()
        part.iloc[:1].to_csv(folder / "v1.csv", index=False)
        part.to_csv(folder / "v02.csv", index=False)
    pattern = str(tmp_path / "{YYYY}-{MM}-{DD}" / "v{VERSION}.csv")
    for days in (0, 2):
        kept = log if not days else pd.concat(np.array_split(log, 3)[-days:])
        dataset, _ = load_dataset(write_csv(kept, tmp_path), items[0], config=DataConfig())
        assert written_rows(ingest(pattern, items[1], DataConfig(spans=days), tmp_path)) == loader_rows(dataset)


def test_a_full_disk_names_the_file_and_leaves_no_part_of_it(tmp_path: pathlib.Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    examples = [np.random.default_rng(0).bytes(1 << 16)]
    # No file may grow beyond a page: what is written fails as on a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(InputError, match=r"Split-train/data_tfrecord-00002-of-00003\.gz: cannot write: .*free"):
            write_shard([examples], str(tmp_path / "Split-train"), 2, 3, str(tmp_path / "growing"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not (tmp_path / "Split-train").exists()
    path = write_shard([examples], str(tmp_path / "Split-train"), 2, 3, str(tmp_path / "growing"))
    assert os.listdir(tmp_path / "Split-train") == [os.path.basename(path)]


def test_items_have_text_and_vector(tmp_path: pathlib.Path) -> None:
    (tmp_path / "items.jsonl").write_text(
        "".join(json.dumps({"item_id": item_id, "title": f"Title {item_id}", "tags": "x"}) + "\n" for item_id in "abc")
    )
    np.savez(tmp_path / "vectors.npz", item_id=np.asarray(["c", "a", "b"]), embedding=np.eye(3, dtype=np.float16))
    found = items_artifact(tmp_path / "items.jsonl", tmp_path, embeddings=str(tmp_path / "vectors.npz"))
    assert found.split_names == '["items"]'
    rows = {row["item_id"][0]: row for row in read(found, "items")}
    assert sorted(rows) == [b"a", b"b", b"c"]
    assert rows[b"a"]["title"] == [b"Title a"]
    assert rows[b"a"]["text"] == [b"Title a x"]
    assert rows[b"a"]["vector"] == [0.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("item_id,title\na,A\n", r"items\.csv: the catalogue has one item"),
        ("title\nA\n", r"items\.csv: missing column `item_id`"),
        (None, r"items\.csv: no such file"),
    ],
)
def test_unusable_items_are_named(text: str | None, message: str, tmp_path: pathlib.Path) -> None:
    if text is not None:
        (tmp_path / "items.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        items_artifact(tmp_path / "items.csv", tmp_path)
