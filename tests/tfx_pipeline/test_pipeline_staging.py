"""Executors that use plain files on artifacts of another file system (TensorFlow's in-memory one, `ram://`)."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
from tfx.components.statistics_gen.executor import Executor as StatisticsExecutor
from tfx.dsl.components.base import base_executor
from tfx.dsl.io import fileio, filesystem_registry
from tfx.dsl.io.plugins.tensorflow_gfile import TensorflowFilesystem
from tfx.types import standard_artifacts

from tfx_pipeline.components.schema_gen import SequenceSchemaGenExecutor
from tfx_pipeline.components.semantic_id_gen import SemanticIdGenExecutor
from tfx_pipeline.components.trainer import SequenceTrainerExecutor
from tfx_pipeline.components.transform import SequenceTransformExecutor
from tfx_pipeline.components.vertex_trainer import CustomJobTrainerExecutor
from tfx_pipeline.runners.staging import needs_local_files, on_local_files


class MemoryFilesystem(TensorflowFilesystem):
    """The remote file system of these tests."""

    SUPPORTED_SCHEMES = ("ram://",)


@pytest.fixture(autouse=True)
def memory() -> Iterator[None]:
    registry = filesystem_registry.DEFAULT_FILESYSTEM_REGISTRY
    registry.register(MemoryFilesystem, priority=5)
    fileio.makedirs("ram://in/sub")
    with fileio.open("ram://in/sub/file", "wb") as file:
        file.write(b"content")
    yield
    fileio.rmtree("ram://in")


class Copying(base_executor.BaseExecutor):
    """Writes what it reads, with Python's own `open`, and may fail after that."""

    fails = False

    def Do(self, input_dict: dict, output_dict: dict, exec_properties: dict[str, Any]) -> None:
        (source,), (target,) = input_dict["model"], output_dict["model"]
        content = (pathlib.Path(source.uri) / "sub" / "file").read_bytes()
        (pathlib.Path(target.uri) / "copy").write_bytes(content)
        target.set_string_custom_property("seen", "yes")
        if self.fails:
            raise ValueError("after writing")


def artifact(uri: str) -> standard_artifacts.Model:
    result = standard_artifacts.Model()
    result.uri = uri
    return result


def run(executor: Copying, target: str) -> standard_artifacts.Model:
    source, result = artifact("ram://in"), artifact(target)
    try:
        on_local_files(Copying.Do)(executor, {"model": [source]}, {"model": [result]}, {})
    finally:
        assert (source.uri, result.uri) == ("ram://in", target)
    return result


def test_remote_artifacts_are_read_and_written() -> None:
    result = run(Copying(), "ram://out")
    assert fileio.open("ram://out/copy", "rb").read() == b"content"
    assert result.get_string_custom_property("seen") == "yes"


def test_a_failed_executor_leaves_nothing_remote() -> None:
    executor = Copying()
    executor.fails = True
    with pytest.raises(ValueError, match="after writing"):
        run(executor, "ram://failed")
    assert not fileio.exists("ram://failed")


def test_local_artifacts_stay_where_they_are(tmp_path: pathlib.Path) -> None:
    run(Copying(), str(tmp_path))
    assert (tmp_path / "copy").read_bytes() == b"content"


@pytest.mark.parametrize(
    ("executor", "needed"),
    [
        (SemanticIdGenExecutor, True),
        (SequenceSchemaGenExecutor, True),
        (SequenceTrainerExecutor, True),
        (CustomJobTrainerExecutor, False),
        (SequenceTransformExecutor, False),
        (StatisticsExecutor, False),
    ],
)
def test_only_own_executors_in_one_process_are_staged(executor: type, needed: bool) -> None:
    assert needs_local_files(executor) == needed
