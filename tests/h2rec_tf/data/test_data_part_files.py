"""A folder or a pattern of files is one table: pandas' concatenation of them decides what is in it."""

import gzip
import json
import os

import click.testing
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from h2rec_tf.cli.main import cli
from h2rec_tf.config import DataConfig
from h2rec_tf.data.catalogue import read_catalogue
from h2rec_tf.data.embeddings import read_embeddings
from h2rec_tf.data.folder import find_files
from h2rec_tf.data.interactions import read_interactions
from h2rec_tf.data.load import examine_dataset, load_dataset
from h2rec_tf.data.part_files import part_files
from h2rec_tf.data.problems import Problems
from h2rec_tf.errors import InputError

LOG = pd.DataFrame(
    {"user_id": [f"u{row % 5}" for row in range(40)], "item_id": [f"i{row % 7}" for row in range(40)]}
).assign(timestamp=np.arange(40) * 60)
ITEMS = pd.DataFrame({"item_id": [f"i{row}" for row in range(7)], "title": [f"Title {row}" for row in range(7)]})


def write(frame: pd.DataFrame, path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name.endswith(".parquet"):
        parquet.write_table(pa.Table.from_pandas(frame, preserve_index=False), path)
    elif ".jsonl" in path.name:
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_csv(path, index=False, sep="\t" if ".tsv" in path.name else ",")


def rows(interactions) -> list[tuple]:
    users = interactions.user_ids[interactions.users].tolist()
    seconds = interactions.timestamps // 10**9
    return list(zip(users, interactions.item_ids[interactions.items].tolist(), seconds, strict=True))


def spark_folder(folder, ending: str):
    """As Spark writes it: parts with and without rows, in partitions, beside files that are no data."""
    names = [f"year=2020/part-0000{part}{ending}" for part in range(3)] + [f"year=2021/part-00000{ending}"]
    for part, name in enumerate(names):
        write(LOG.iloc[part * 10 : (part + 1) * 10], folder / name)
    write(LOG.iloc[:0], folder / f"year=2021/part-00001{ending}")
    (folder / f"year=2021/part-00002{ending}").touch()
    for name in ("_SUCCESS", ".part-00000.crc", "year=2020/._SUCCESS.crc", "_metadata/x"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("no data")
    return [str(folder / name) for name in names]


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".csv.gz", ".jsonl", ".jsonl.gz", ".parquet"])
def test_a_folder_is_its_files_in_order(tmp_path, ending):
    spark_folder(tmp_path / "log", ending)
    expected = list(LOG.itertuples(index=False, name=None))
    for path in (tmp_path / "log", tmp_path / "log" / "year=*", tmp_path / "log" / "*" / f"part-*{ending}"):
        read = read_interactions(str(path))
        assert rows(read) == expected
        assert read.problems.total == 0
        assert read.problems.notes[f"files of {path} without a row"] == 2
        assert read.problems.notes.get(f"columns of {path} in names of folders, which are not read") == 1


def test_the_whole_way_with_folders_is_that_with_files(tmp_path):
    write(LOG, tmp_path / "log.csv")
    write(ITEMS, tmp_path / "items.csv")
    for part in range(3):
        write(LOG.iloc[part::3], tmp_path / "data" / "interactions" / f"part-{part}.parquet")
        write(ITEMS.iloc[part::3], tmp_path / "data" / "items.parquet" / f"part-{part}.parquet")
    vectors = np.arange(14, dtype=np.float32).reshape(7, 2)
    np.savez(tmp_path / "v.npz", item_id=ITEMS["item_id"].to_numpy(str), embedding=vectors)
    for part in range(2):
        frame = pd.DataFrame({"item_id": ITEMS["item_id"], "embedding": vectors.tolist()}).iloc[part::2]
        write(frame, tmp_path / "data" / "embeddings" / f"{part}.parquet")
    found = find_files(str(tmp_path / "data"))
    assert [os.path.basename(path) for path in found] == ["interactions", "items.parquet", "embeddings"]
    config = DataConfig()
    whole, _ = load_dataset(
        str(tmp_path / "log.csv"), str(tmp_path / "items.csv"), embeddings_path=str(tmp_path / "v.npz"), config=config
    )
    parts, _ = load_dataset(found[0], found[1], embeddings_path=found[2], config=config)
    for name in ("item_ids", "titles", "texts", "vectors"):
        assert np.array_equal(getattr(whole.catalogue, name), getattr(parts.catalogue, name))
    assert np.array_equal(whole.train.items, parts.train.items)
    assert np.array_equal(whole.test.targets, parts.test.targets)


def test_messages_name_the_part_and_its_row(tmp_path):
    names = spark_folder(tmp_path / "log", ".csv")
    for number, line in ((1, "u1,nowhere,9\n"), (3, "u1,i1,soon\n"), (3, "u1\n"), (3, ",i1,5\n")):
        with open(names[number], "a") as file:
            file.write(line)
    write(ITEMS, tmp_path / "items.csv")
    _, report = examine_dataset(str(tmp_path / "log"), str(tmp_path / "items.csv"), config=DataConfig())
    found = {(problem.file, problem.row, problem.kind) for problem in report.problems.ordered()}
    assert found == {
        (names[1], 12, "unknown item"),
        (names[3], 12, "unparsable timestamp"),
        (names[3], 13, "malformed row"),
        (names[3], 14, "empty id"),
    }


def test_data_check_reads_patterns(tmp_path):
    spark_folder(tmp_path / "log", ".parquet")
    write(ITEMS, tmp_path / "items" / "a.csv")
    arguments = ["data", "check", "--interactions", str(tmp_path / "log" / "year=*"), "--items"]
    report = tmp_path / "report.json"
    result = click.testing.CliRunner().invoke(cli, [*arguments, str(tmp_path / "items"), "--json", str(report)])
    assert result.exit_code == 0, result.output
    assert json.loads(report.read_text())["rows"] == 40
    assert "without a row" in result.output


def case(tmp_path, **files):
    for name, content in files.items():
        path = tmp_path / "log" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(tmp_path / "log")


HEAD = "user_id,item_id,timestamp\n"
GOOD = HEAD + "u,i,1\n"


@pytest.mark.parametrize(
    ("files", "pieces"),
    [
        ({}, ["log: no such file"]),
        ({"_SUCCESS": ""}, ["log: the folder has no file of data"]),
        ({"a.csv": GOOD, "_temporary/0/a": ""}, ["log: `_temporary` is in the folder: what writes it is not done"]),
        ({"a.csv": GOOD, "old/a.csv": GOOD}, ["log: the folder `old` in it is not called `name=value`"]),
        ({"a.csv": GOOD, "b.jsonl": '{"user_id": "u"}\n'}, ["b.jsonl: jsonl, where", "a.csv is csv"]),
        (
            {"a.csv": GOOD, "b.csv": "user_id,item,timestamp\nu,i,1\n"},
            ["b.csv: lacks item_id, compared with", "a.csv; files of one set must have the same columns"],
        ),
        ({"a.csv": GOOD, "b.csv": "u,i,2\n"}, ["b.csv: lacks item_id"]),
        ({"a.csv": HEAD, "b.csv": ""}, ["a.csv: there is a header and no row below it"]),
        ({"a.csv": GOOD, "b.csv.gz": gzip.compress(GOOD.encode() * 99)[:-20]}, ["b.csv.gz:", "gzip stream ends early"]),
        (
            {"timestamp=5/a.csv": "user_id,item_id\nu,i\n"},
            ["column `timestamp`: stands in the folder's name alone (`timestamp=5`); write it into the files"],
        ),
    ],
)
def test_what_does_not_go_together_is_named(tmp_path, files, pieces):
    with pytest.raises(InputError) as caught:
        read_interactions(case(tmp_path, **files))
    assert all(piece in str(caught.value) for piece in pieces), caught.value
    assert "\n" not in str(caught.value)


def test_a_pattern_that_matches_nothing_or_too_much(tmp_path):
    with pytest.raises(InputError, match=r"part-\*\.csv: no file matches"):
        part_files(str(tmp_path / "part-*.csv"))
    with pytest.raises(InputError, match=r"`\*\*` is not understood"):
        part_files(str(tmp_path / "**" / "part.csv"))
    # A name that is a pattern and a file is the file.
    (tmp_path / "a[1].csv").write_text(GOOD)
    assert rows(read_interactions(str(tmp_path / "a[1].csv"))) == [("u", "i", 1)]


def parquet_parts(folder, *columns):
    folder.mkdir()
    for part, values in enumerate(columns):
        parquet.write_table(
            pa.table({"item_id": [f"i{part}"], "title": [f"T{part}"], "x": values}), folder / f"{part}.pq"
        )
    return str(folder)


@pytest.mark.parametrize(
    ("columns", "texts", "notes"),
    [
        ([pa.array(["a"]), pa.nulls(1), pa.array([7])], ["T0 a", "T1", "T2 7"], []),
        ([pa.array([["a", "b"]]), pa.array(["c"]), pa.array([1.5])], ["T0 a b", "T1 c", "T2 1.5"], []),
        ([pa.array(["a"]).dictionary_encode(), pa.array(["b"], pa.large_string())], ["T0 a", "T1 b"], []),
        ([pa.array([True]), pa.array(["b"]), pa.array([{"k": 1}])], ["T0", "T1 b", "T2"], [2]),
        ([pa.array([1], pa.int8()), pa.array([2.5]), pa.array([3], pa.int64())], ["T0", "T1", "T2"], []),
    ],
)
def test_types_that_differ_by_file(tmp_path, columns, texts, notes):
    path = parquet_parts(tmp_path / "items", *columns)
    catalogue, problems = read_catalogue(path)
    assert sorted(catalogue.texts) == texts
    assert (problems.total, list(problems.notes.values())) == (0, notes)


def test_ids_of_types_that_do_not_go_together_are_refused(tmp_path):
    path = parquet_parts(tmp_path / "items", pa.array([1]), pa.array(["2"]), pa.array([3], pa.uint64()))
    catalogue, _ = read_catalogue(path, item_column="x")
    assert sorted(catalogue.item_ids) == ["1", "2", "3"]
    path = parquet_parts(tmp_path / "more", pa.array(["2"]), pa.array([1.0]))
    with pytest.raises(InputError, match=r"1\.pq: column `x`: holds double here and string in other files of the set"):
        read_catalogue(path, item_column="x")
    vectors = parquet_parts(tmp_path / "vectors", pa.array([[1.0, 2.0]]), pa.array([[3, 4]]))
    read = read_embeddings(vectors, item_column="item_id", problems=Problems())
    assert read.matrix.tolist() == [[1, 2], [3, 4]]
