"""Paths, wildcards, spans and queries as sources; Beam's flags; fingerprints of each."""

from __future__ import annotations

import os
import pathlib

import pytest

from h2rec_tf.errors import InputError
from tfx_pipeline.ingestion.sources import has_spans, spans, split_pattern
from tfx_pipeline.runners.fingerprint import fingerprint, source_fingerprint
from tfx_pipeline.runners.local import beam_pipeline_args


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("/data/clicks.csv", ("/data", "clicks.csv")),
        ("clicks.csv", (".", "clicks.csv")),
        ("/clicks.csv", ("/", "clicks.csv")),
        ("/data/day-{SPAN}/v{VERSION}/*.csv", ("/data", "day-{SPAN}/v{VERSION}/*.csv")),
        ("gs://bucket/{YYYY}-{MM}-{DD}.csv", ("gs://bucket", "{YYYY}-{MM}-{DD}.csv")),
    ],
)
def test_a_pattern_begins_where_it_varies(path: str, parts: tuple[str, str]) -> None:
    assert split_pattern(path) == parts


def make(folder: pathlib.Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def test_the_newest_spans_in_their_newest_versions(tmp_path: pathlib.Path) -> None:
    make(tmp_path, "7/v1/a", "7/v2/a", "7/v2/b", "9/v1/a", "10/v1/a", "10/v10/a", "10/v9/a")
    pattern = str(tmp_path / "{SPAN}" / "v{VERSION}" / "*")

    def found(**options: int) -> dict[int, list[str]]:
        return {
            span.number: [os.path.relpath(file, tmp_path) for file in span.files] for span in spans(pattern, **options)
        }

    assert found(count=1) == {10: ["10/v10/a"]}
    # Three spans back from 10; nobody wrote an 8.
    assert found(count=3) == {9: ["9/v1/a"], 10: ["10/v10/a"]}
    assert found(count=0) == {7: ["7/v2/a", "7/v2/b"], 9: ["9/v1/a"], 10: ["10/v10/a"]}
    assert found(count=1, latest=9) == {9: ["9/v1/a"]}


def test_dates_are_spans_of_days(tmp_path: pathlib.Path) -> None:
    make(tmp_path, "2023-12-31.csv", "2024-01-01.csv")
    found = spans(str(tmp_path / "{YYYY}-{MM}-{DD}.csv"), count=2)
    assert [os.path.basename(span.files[0]) for span in found] == ["2023-12-31.csv", "2024-01-01.csv"]
    assert found[1].number - found[0].number == 1


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("none-{SPAN}.csv", "no file matches"),
        ("none.csv", "no such file"),
        ("{SPAN}-{SPAN}.csv", "Only one"),
        ("v{VERSION}.csv", "write {SPAN}"),
        ("{YYYY}.csv", "write {SPAN}"),
        ("day-{SPAN}", "write {SPAN}"),
    ],
)
def test_patterns_that_match_nothing_are_named(pattern: str, words: str, tmp_path: pathlib.Path) -> None:
    make(tmp_path, "day-one")
    with pytest.raises(InputError) as caught:
        spans(str(tmp_path / pattern), count=1)
    assert words in str(caught.value)
    assert pattern in str(caught.value)


def test_a_query_is_no_pattern() -> None:
    assert not has_spans("bigquery:SELECT '{SPAN}'")


def test_fingerprints_follow_what_a_source_holds(tmp_path: pathlib.Path) -> None:
    make(tmp_path, "day-1.csv")
    path, pattern = str(tmp_path / "day-1.csv"), str(tmp_path / "day-{SPAN}.csv")
    assert source_fingerprint(path) == fingerprint(path)
    before = source_fingerprint(pattern)
    assert source_fingerprint(pattern) == before
    make(tmp_path, "day-2.csv")
    assert source_fingerprint(pattern) != before
    with pytest.raises(InputError, match="no file matches"):
        source_fingerprint(str(tmp_path / "night-{SPAN}.csv"))
    # What a query reads may have changed.
    assert source_fingerprint("bigquery:SELECT 1") != source_fingerprint("bigquery:SELECT 1")


def test_flags_of_a_remote_runner_stand_alone() -> None:
    assert "--direct_num_workers=2" in beam_pipeline_args(["--direct_num_workers=2"])[-1:]
    assert beam_pipeline_args()[0] == "--direct_running_mode=in_memory"
    remote = ["--runner=DataflowRunner", "--project=p"]
    assert beam_pipeline_args(remote) == remote
