"""Every data option, from files through the pipeline to the answer of a model server.

One log of made-up interactions is written in many shapes. What the server must answer is counted here in plain Python:
an empty history gets the most popular items of the training split, with their counts as scores. Shapes that say the
same must also give the same list, scores included, to a user with a history.
"""

from __future__ import annotations

import collections
import dataclasses
import gzip
import json
import pathlib
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from pyarrow import parquet

from serving.client import Client
from serving.server.model_server import ModelServer
from serving.server.options import ServerOptions
from tfx_pipeline.cli import pipeline

USERS, ITEMS = 40, 30
_START = 1_500_000_000
# What a reader must not take for anything else: quotes, delimiters, and letters of Latin-1 alone.
TITLES = [f'{"Ñandú" if item % 5 == 0 else "Thing"} no. {item}, 12" mix' for item in range(ITEMS)]
CATEGORIES = ["even|all" if item % 2 == 0 else "all" for item in range(ITEMS)]
CONFIG = """
text: {dimensions: 8}
quantizer: {levels: 2, codes: 4, iterations: 5}
codebooks: {max_collision_rate: 1.0}
model: {hidden_size: 8, layers: 1, max_length: 10}
training: {epochs: 1, min_epoch_steps: 0, batch_size: 64, validation_users: 100}
# An epoch on noise beats nothing, and whether it does is not the question here.
gate: {baselines: []}
"""


@dataclasses.dataclass(frozen=True)
class Event:
    """Who took what, and when in seconds."""

    user: str
    item: str
    time: int


def _log() -> list[Event]:
    """Every user's times differ; rows in order of time."""
    generator = np.random.default_rng(7)
    events = []
    for user in range(USERS):
        taken = generator.choice(ITEMS - 2, size=generator.integers(4, 9), replace=False)
        times = _START + user + USERS * generator.choice(5000, size=len(taken), replace=False)
        events += [
            Event(f"u{user}", f"i{item}", int(time)) for item, time in zip(taken.tolist(), times.tolist(), strict=True)
        ]
    return sorted(events, key=lambda event: event.time)


LOG = _log()


def vectors() -> np.ndarray:
    """float32 `[ITEMS, 6]`."""
    return np.random.default_rng(3).normal(size=(ITEMS, 6)).astype(np.float32)


def popular(training: list[Event]) -> dict[str, int]:
    """Training interactions by item, all items of the catalogue."""
    counts = collections.Counter(event.item for event in training)
    return {f"i{item}": counts[f"i{item}"] for item in range(ITEMS)}


def without_last_two(log: list[Event]) -> list[Event]:
    """Leave one out: what is left of every user with three events or more."""
    training = []
    for user in {event.user for event in log}:
        own = sorted((event for event in log if event.user == user), key=lambda event: event.time)
        training += own[:-2] if len(own) >= 3 else own
    return training


def before(log: list[Event], share: float) -> list[Event]:
    """Temporal split: the earliest share of all events; their times all differ."""
    assert len({event.time for event in log}) == len(log)
    return sorted(log, key=lambda event: event.time)[: round(share * len(log))]


def core(log: list[Event], least: int) -> list[Event]:
    """The k-core of items, by brute force."""
    while True:
        counts = collections.Counter(event.item for event in log)
        kept = [event for event in log if counts[event.item] >= least]
        if len(kept) == len(log):
            return log
        log = kept


def interactions_csv(path: pathlib.Path, log: list[Event] = LOG, columns: str = "user_id,item_id,timestamp") -> str:
    path.write_text(columns + "\n" + "".join(f"{event.user},{event.item},{event.time}\n" for event in log))
    return str(path)


def items_csv(path: pathlib.Path, key: str = "item_id") -> str:
    quoted = [title.replace('"', '""') for title in TITLES]
    path.write_text(f"{key},title\n" + "".join(f'i{item},"{title}"\n' for item, title in enumerate(quoted)))
    return str(path)


# A case writes its files into a folder and returns the command's flags.
def csv_files(folder: pathlib.Path) -> list[str]:
    return ["--interactions", interactions_csv(folder / "log.csv"), "--items", items_csv(folder / "items.csv")]


def renamed_columns(folder: pathlib.Path) -> list[str]:
    log = interactions_csv(folder / "log.csv", columns="who,what,when")
    flags = ["--user-column", "who", "--item-column", "what", "--timestamp-column", "when"]
    return [
        "--interactions",
        log,
        "--items",
        items_csv(folder / "items.csv", "asin"),
        "--catalogue-item-column",
        "asin",
        *flags,
    ]


def tsv_gzipped_with_categories(folder: pathlib.Path) -> list[str]:
    rows = "".join(f"{event.item}\t{event.time}\t{event.user}\n" for event in LOG)
    (folder / "log.tsv.gz").write_bytes(gzip.compress(f"item_id\ttimestamp\tuser_id\n{rows}".encode()))
    quoted = [title.replace('"', '""') for title in TITLES]
    items = "".join(f'i{item},"{quoted[item]}",{CATEGORIES[item]}\n' for item in range(ITEMS))
    (folder / "items.csv").write_text("item_id,title,kind\n" + items)
    flags = ["--category-column", "kind", "--text-column", "title"]
    return ["--interactions", str(folder / "log.tsv.gz"), "--items", str(folder / "items.csv"), *flags]


def json_lines(folder: pathlib.Path) -> list[str]:
    """Times as text, unused fields of many kinds, titles under another name."""
    lines = [
        {"user_id": event.user, "item_id": event.item, "timestamp": str(np.datetime64(event.time, "s")) + "Z", "n": odd}
        for event, odd in zip(LOG, [1, "x", None, [], {"a": 1}] * len(LOG), strict=False)
    ]
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows = [
        {"item_id": f"i{item}", "name": TITLES[item], "price": item if item % 2 else "free"} for item in range(ITEMS)
    ]
    (folder / "items.ndjson").write_text("".join(json.dumps(row) + "\n" for row in rows))
    flags = ["--title-column", "name", "--text-column", "name"]
    return ["--interactions", str(folder / "log.jsonl"), "--items", str(folder / "items.ndjson"), *flags]


def parquet_files(folder: pathlib.Path) -> list[str]:
    table = {"user_id": [event.user for event in LOG], "item_id": [event.item for event in LOG]}
    times = pa.array([event.time * 1000 for event in LOG], pa.timestamp("ms"))
    parquet.write_table(pa.table({**table, "timestamp": times}), folder / "log.parquet")
    items = pa.table({"item_id": pa.array([f"i{item}" for item in range(ITEMS)]).dictionary_encode(), "title": TITLES})
    parquet.write_table(items, folder / "items.parquet")
    return ["--interactions", str(folder / "log.parquet"), "--items", str(folder / "items.parquet")]


def vectors_in_a_column(folder: pathlib.Path) -> list[str]:
    items = pa.table({"item_id": [f"i{item}" for item in range(ITEMS)], "title": TITLES, "v": list(vectors())})
    parquet.write_table(items, folder / "items.parquet")
    log = interactions_csv(folder / "log.csv")
    return ["--interactions", log, "--items", str(folder / "items.parquet"), "--vector-column", "v"]


def vectors_in_a_file(folder: pathlib.Path) -> list[str]:
    np.savez(
        folder / "v.npz", item_id=np.asarray([f"i{item}" for item in range(ITEMS)][::-1]), embedding=vectors()[::-1]
    )
    return [*csv_files(folder), "--embeddings", str(folder / "v.npz")]


def temporal_split(folder: pathlib.Path) -> list[str]:
    flags = ["--split", "temporal", "--validation-fraction", "0.2", "--test-fraction", "0.2"]
    return [*csv_files(folder), *flags]


def item_core(folder: pathlib.Path) -> list[str]:
    return [*csv_files(folder), "--min-item-interactions", "7"]


def rejected_rows(folder: pathlib.Path) -> list[str]:
    """Three rows that cannot be used, and repeats of three that can."""
    log = pathlib.Path(interactions_csv(folder / "log.csv", [*LOG, *LOG[:3]]))
    log.write_text(log.read_text() + "u1,no such item,1500000000\nu1,i1,soon\n,i1,1500000000\n")
    return ["--interactions", str(log), "--items", items_csv(folder / "items.csv"), "--max-bad-rows", "3"]


def text_options(folder: pathlib.Path) -> list[str]:
    """No header, delimiters of two characters, milliseconds; items in Latin-1 with semicolons and quotes as text."""
    rows = "".join(f"{event.user}::{event.item}::5::{event.time * 1000}\n" for event in LOG)
    (folder / "log.dat").write_text(rows)
    items = "asin;title\n" + "".join(f"i{item};{title}\n" for item, title in enumerate(TITLES))
    (folder / "items.csv").write_bytes(items.encode("latin-1"))
    of_log = ["--delimiter", "::", "--columns", "user_id,item_id,rating,timestamp", "--no-header", "--time-unit", "ms"]
    of_items = ["--catalogue-delimiter", ";", "--catalogue-quoting", "none", "--catalogue-encoding", "latin-1"]
    flags = [*of_log, *of_items, "--catalogue-item-column", "asin"]
    return ["--interactions", str(folder / "log.dat"), "--items", str(folder / "items.csv"), *flags]


def file_order(folder: pathlib.Path) -> list[str]:
    """No times: the order of rows, over a folder of two files, is that of the events."""
    (folder / "log").mkdir()
    for number, rows in enumerate((LOG[:150], LOG[150:])):
        lines = "".join(f"{event.user},{event.item}\n" for event in rows)
        (folder / "log" / f"part-{number}.csv").write_text("user_id,item_id\n" + lines)
    (folder / "log" / "_SUCCESS").write_text("")
    items = items_csv(folder / "items.csv")
    return ["--interactions", str(folder / "log"), "--items", items, "--time", "none"]


def order_column(folder: pathlib.Path) -> list[str]:
    """All events of a user at one time, told apart by a second column; repeats of some are kept."""
    rows = "".join(f"{event.user},{event.item},2017-07-14,{event.time - _START}\n" for event in reversed(LOG))
    (folder / "log.csv").write_text("user_id,item_id,day,step\n" + rows)
    flags = ["--timestamp-column", "day", "--order-column", "step"]
    return ["--interactions", str(folder / "log.csv"), "--items", items_csv(folder / "items.csv"), *flags]


def repeats_kept(folder: pathlib.Path) -> list[str]:
    """The first three events stand twice."""
    log = interactions_csv(folder / "log.csv", [*LOG, *LOG[:3]])
    return ["--interactions", log, "--items", items_csv(folder / "items.csv"), "--repeats", "keep"]


def seen_included(folder: pathlib.Path) -> list[str]:
    (folder / "seen.yaml").write_text(CONFIG + "serving: {seen: include}\n")
    return [*csv_files(folder), "--config", str(folder / "seen.yaml")]


def daily_files(folder: pathlib.Path) -> list[str]:
    """The log over the two newest of three spans; the oldest must not be read."""
    interactions_csv(folder / "day-1.csv", [Event("u0", "i29", _START - number) for number in range(9)])
    interactions_csv(folder / "day-2.csv", LOG[::2])
    interactions_csv(folder / "day-3.csv", LOG[1::2])
    (folder / "spans.yaml").write_text(CONFIG + "data: {spans: 2}\n")
    items = items_csv(folder / "items.csv")
    return ["--interactions", str(folder / "day-{SPAN}.csv"), "--items", items, "--config", str(folder / "spans.yaml")]


# Those of one group must give the same answers.
TITLES_ALONE, GIVEN_VECTORS = "titles alone", "given vectors"
Case = tuple[Callable[[pathlib.Path], list[str]], list[Event], str]
CASES: list[Case] = [
    (csv_files, without_last_two(LOG), TITLES_ALONE),
    (renamed_columns, without_last_two(LOG), TITLES_ALONE),
    (tsv_gzipped_with_categories, without_last_two(LOG), TITLES_ALONE),
    (json_lines, without_last_two(LOG), TITLES_ALONE),
    (parquet_files, without_last_two(LOG), TITLES_ALONE),
    (rejected_rows, without_last_two(LOG), TITLES_ALONE),
    (daily_files, without_last_two(LOG), TITLES_ALONE),
    (text_options, without_last_two(LOG), TITLES_ALONE),
    (file_order, without_last_two(LOG), TITLES_ALONE),
    (order_column, without_last_two(LOG), TITLES_ALONE),
    (repeats_kept, without_last_two([*LOG, *LOG[:3]]), ""),
    (seen_included, without_last_two(LOG), ""),
    (vectors_in_a_column, without_last_two(LOG), GIVEN_VECTORS),
    (vectors_in_a_file, without_last_two(LOG), GIVEN_VECTORS),
    (temporal_split, before(LOG, 0.6), ""),
    (item_core, without_last_two(core(LOG, 7)), ""),
]
HISTORY = ["i3", "i8", "no such item", "i0"]


@pytest.fixture(scope="module")
def answers() -> dict[str, list[tuple[str, float]]]:
    """Group -> the first answer that one of its cases got."""
    return {}


def run(folder: pathlib.Path, flags: list[str]) -> str:
    """Runs the pipeline; the folder of versions that it pushed to."""
    (folder / "config.yaml").write_text(CONFIG)
    config = [] if "--config" in flags else ["--config", str(folder / "config.yaml")]
    result = CliRunner().invoke(pipeline, ["run", "--root", str(folder / "root"), *config, *flags])
    assert result.exception is None, (result.exception, result.output)
    return str(folder / "root" / "serving")


@pytest.mark.slow
@pytest.mark.parametrize(("write", "training", "group"), CASES, ids=[case[0].__name__ for case in CASES])
def test_files_in_answers_out(
    write: Callable[[pathlib.Path], list[str]],
    training: list[Event],
    group: str,
    answers: dict[str, list[tuple[str, float]]],
    tmp_path: pathlib.Path,
) -> None:
    pushed = run(tmp_path, write(tmp_path))
    with (
        ModelServer(ServerOptions(model_dir=pushed, port=0, poll_seconds=0)) as server,
        Client(server.target) as client,
    ):
        counts = popular(training)
        listed = client.recommend([[]], k=ITEMS)[0]
        assert {one.item_id: one.score for one in listed} == counts
        assert [one.score for one in listed] == sorted(counts.values(), reverse=True)
        assert [one.title for one in listed] == [TITLES[int(one.item_id[1:])] for one in listed]
        own = [(one.item_id, one.score) for one in client.recommend([HISTORY], k=ITEMS)[0]]
        seen = set() if write is seen_included else set(HISTORY)
        assert {item for item, _ in own} == set(counts) - seen
        if write is tsv_gzipped_with_categories:
            even = client.recommend([HISTORY], k=ITEMS, allow_categories=[["even"]])[0]
            assert {one.item_id for one in even} == {f"i{item}" for item in range(0, ITEMS, 2)} - set(HISTORY)
    expected = answers.setdefault(group or write.__name__, own)
    assert [item for item, _ in own] == [item for item, _ in expected]
    np.testing.assert_allclose([score for _, score in own], [score for _, score in expected], rtol=1e-4)
