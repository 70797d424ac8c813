"""An artifact that is not what its producer wrote is never read as something smaller."""

from __future__ import annotations

import json
import pathlib
import re

import memory_files
import pytest
import tensorflow as tf
from pipeline_support import example
from tfx.components.util import examples_utils
from tfx.dsl.io import fileio
from tfx.proto import example_gen_pb2
from tfx.types import standard_artifacts

from h2rec_tf.errors import InputError
from tfx_pipeline.ingestion.rows import catalogue_ids
from tfx_pipeline.ingestion.shards import write_shard
from tfx_pipeline.reading import split_batches
from tfx_pipeline.records import count_examples, record_path, recorded_examples, verify, write_record
from tfx_pipeline.runners.container import record_outputs, verify_inputs

SHARDS = 2
ROWS = 3


def written(folder: pathlib.Path, *, record: bool = True) -> standard_artifacts.Examples:
    """Item examples in two files of three rows each."""
    artifact = standard_artifacts.Examples()
    artifact.uri = str(folder / "examples" / "1")
    artifact.split_names = '["items"]'
    examples_utils.set_payload_format(artifact, example_gen_pb2.FORMAT_TF_EXAMPLE)
    examples_utils.set_file_format(artifact, "tfrecords_gzip")
    for shard in range(SHARDS):
        rows = [example(item_id=[f"{shard}-{row}"]) for row in range(ROWS)]
        write_shard([rows], f"{artifact.uri}/Split-items", shard, SHARDS, str(folder / "temporary"))
    if record:
        write_record(artifact.uri, {"items": SHARDS * ROWS})
    return artifact


def read(artifact: standard_artifacts.Examples) -> int:
    return sum(batch.num_rows for batch in split_batches([artifact], "items", "Test"))


def files(artifact: standard_artifacts.Examples) -> list[pathlib.Path]:
    return sorted(pathlib.Path(artifact.uri, "Split-items").iterdir())


def test_what_was_written_is_read(tmp_path: pathlib.Path) -> None:
    artifact = written(tmp_path)
    assert read(artifact) == SHARDS * ROWS == count_examples(artifact.uri, "items")
    assert recorded_examples(artifact.uri) == {"items": SHARDS * ROWS}
    verify(artifact.uri)
    assert read(written(tmp_path / "bare", record=False)) == SHARDS * ROWS


@pytest.mark.parametrize("record", [True, False])
def test_a_file_cut_at_any_byte_is_refused(tmp_path: pathlib.Path, record: bool) -> None:
    artifact = written(tmp_path, record=record)
    path = files(artifact)[0]
    content = path.read_bytes()
    # TensorFlow alone takes some of these for whole files with fewer rows.
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(InputError, match=re.escape(f"{path}: damaged")) as caught:
            read(artifact)
        assert f"delete {artifact.uri} and run again, it is made anew" in str(caught.value)
        assert not record or f"has {length} bytes, {len(content)} were written" in str(caught.value)
    path.write_bytes(content)
    assert read(artifact) == SHARDS * ROWS


def test_a_flipped_bit_of_any_byte_is_refused(tmp_path: pathlib.Path) -> None:
    artifact = written(tmp_path)
    path = files(artifact)[1]
    content = bytearray(path.read_bytes())
    for place in range(len(content)):
        content[place] ^= 1 << place % 8
        path.write_bytes(content)
        with pytest.raises(InputError, match=re.escape(f"{path}: damaged, its checksum")):
            read(artifact)
        content[place] ^= 1 << place % 8


def test_missing_and_foreign_files_are_refused(tmp_path: pathlib.Path) -> None:
    artifact = written(tmp_path)
    first, second = files(artifact)
    content = first.read_bytes()
    first.unlink()
    with pytest.raises(InputError, match=rf"{first}: is missing, {len(content)} bytes were written"):
        read(artifact)
    first.write_bytes(content)
    extra = first.with_name("data-00002-of-00003.gz")
    extra.write_bytes(second.read_bytes())
    with pytest.raises(InputError, match=f"{extra}: does not belong here, 2 other files were written"):
        read(artifact)


def test_other_numbers_of_rows_than_were_written_are_refused(tmp_path: pathlib.Path) -> None:
    artifact = written(tmp_path)
    pattern = f"{artifact.uri}/Split-items/*"
    assert len(catalogue_ids((pattern,))) == SHARDS * ROWS
    # As if a row had been lost before the file was recorded.
    write_record(artifact.uri, {"items": SHARDS * ROWS + 1})
    expected = "Split-items: 6 examples were read, 7 were written"
    with pytest.raises(InputError, match=expected):
        read(artifact)
    catalogue_ids.cache_clear()
    with pytest.raises(InputError, match=expected):
        catalogue_ids((pattern,))
    catalogue_ids.cache_clear()


def test_a_damaged_record_is_no_record_of_nothing(tmp_path: pathlib.Path) -> None:
    artifact = written(tmp_path)
    path = pathlib.Path(record_path(artifact.uri))
    content = path.read_text()
    for length in range(len(content.rstrip())):
        path.write_text(content[:length])
        with pytest.raises(InputError, match=f"{path}: damaged record"):
            read(artifact)


def test_steps_in_containers_compare_what_they_get_and_record_what_they_leave(tmp_path: pathlib.Path) -> None:
    artifact = written(tmp_path)
    output = tmp_path / "model" / "7"
    output.mkdir(parents=True)
    (output / "weights").write_bytes(b"1234")
    invocation = json.dumps(
        {
            "inputs": {"artifacts": {"examples": {"artifacts": [{"uri": artifact.uri}]}}},
            "outputs": {"artifacts": {"model": {"artifacts": [{"uri": str(output)}]}}},
        }
    )
    verify_inputs(invocation)
    record_outputs(invocation)
    verify(str(output))
    (output / "weights").write_bytes(b"123")
    with pytest.raises(InputError, match="weights: damaged, has 3 bytes, 4 were written"):
        verify(str(output))
    files(artifact)[0].write_bytes(b"")
    with pytest.raises(InputError, match="has 0 bytes"):
        verify_inputs(invocation)


def test_another_file_system_gives_sizes(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory_files.register(monkeypatch)
    uri = "ram://records/model/3"
    fileio.makedirs(f"{uri}/below")
    with fileio.open(f"{uri}/below/weights", "wb") as file:
        file.write(b"1234")
    write_record(uri)
    verify(uri)
    with fileio.open(f"{uri}/below/weights", "wb") as file:
        file.write(b"12")
    with pytest.raises(InputError, match=f"{uri}/below/weights: damaged, has 2 bytes, 4 were written"):
        verify(uri)
    tf.io.gfile.rmtree("ram://records")
