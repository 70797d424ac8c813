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


def test_folders_are_their_files(tmp_path: pathlib.Path) -> None:
    make(tmp_path, "day-1/a.csv", "day-1/_SUCCESS", "day-2/hour=1/b.csv", "day-2/hour=0/b.csv", "day-2/.b.crc")

    def found(name: str) -> list[str]:
        (span,) = spans(str(tmp_path / name), count=1)
        return [os.path.relpath(file, tmp_path) for file in span.files]

    assert found("day-1") == found("day-1/*") == ["day-1/a.csv"]
    assert found("day-{SPAN}") == found("day-2/") == ["day-2/hour=0/b.csv", "day-2/hour=1/b.csv"]
    assert found("day-*") == ["day-1/a.csv", "day-2/hour=0/b.csv", "day-2/hour=1/b.csv"]


def test_a_change_in_a_folder_is_another_fingerprint(tmp_path: pathlib.Path) -> None:
    make(tmp_path, "log/day=1/a.csv", "log/day=1/_SUCCESS")
    for source, function in (("log", source_fingerprint), ("log", fingerprint), ("lo*", source_fingerprint)):
        before = function(str(tmp_path / source))
        (tmp_path / "log/day=1/_SUCCESS").write_text("again")
        assert function(str(tmp_path / source)) == before
        (tmp_path / "log/day=1/a.csv").write_text(source + "another" * len(before))
        os.utime(tmp_path / "log/day=1/a.csv", ns=(0, len(source)))
        assert function(str(tmp_path / source)) != before
        os.rename(tmp_path / "log/day=1/a.csv", tmp_path / "log/day=1/b.csv")
        os.rename(tmp_path / "log/day=1/b.csv", tmp_path / "log/day=1/a.csv")
        make(tmp_path, "log/day=1/a.csv")


def test_a_folder_elsewhere_is_refused_as_its_changes_do_not_show(tmp_path: pathlib.Path) -> None:
    make(tmp_path, "log/day=1/a.csv", "flat/a.csv", "flat/_SUCCESS")
    ((span),) = spans(f"file://{tmp_path}/flat/*", count=1)
    assert [os.path.basename(file) for file in span.files] == ["a.csv"]
    for name in ("log", "log/*"):
        with pytest.raises(InputError, match="names a folder, whose changes the orchestrator does not see"):
            spans(f"file://{tmp_path}/{name}", count=1)


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
