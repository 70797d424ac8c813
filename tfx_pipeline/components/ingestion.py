"""What the pipeline's ExampleGens share: parameters, the sources of a run, and an executor around a Beam pipeline."""

from __future__ import annotations

import abc
import json
import logging
import os
from typing import Any

import apache_beam as beam
import tensorflow as tf
from google.protobuf import any_pb2, wrappers_pb2
from tfx import types
from tfx.components.example_gen import utils, write_split
from tfx.components.util import examples_utils
from tfx.dsl.components.base import base_beam_executor
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import io_utils, proto_utils

from h2rec_tf.config import Config, DataConfig
from h2rec_tf.data.doubts import voice
from tfx_pipeline.constants import QUERY_MARKER, is_query
from tfx_pipeline.ingestion.findings import EMPTY_FILES, REPEATS, Summary, read_summary
from tfx_pipeline.ingestion.sources import has_spans, spans, split_pattern
from tfx_pipeline.records import write_record

_LOG = logging.getLogger(__name__)

# Keys of a generator's settings.
SOURCE = "source"
DATA = "data"
FINGERPRINT = "fingerprint"
# Custom properties of example artifacts.
REJECTED_ROWS = "rejected_rows"
REPEATED_ROWS = "repeated_rows"
FILES_WITHOUT_ROWS = "files_without_rows"
WARNINGS = "warnings"
# In the artifact: what to look at before the data is used, one JSON object a line.
WARNINGS_FILE = os.path.join("warnings", "warnings.jsonl")

_SHARD_BYTES = 64 << 20
# Text that is compressed, or columns, take so many times their size.
_COMPRESSION = 6
_COMPRESSED = (".gz", ".parquet", ".pq")
_LARGEST_SHARDS = 1000
# The size of a query's result is not known before it runs.
_QUERY_SHARDS = 128


class IngestionExecutor(base_beam_executor.BaseBeamExecutor, abc.ABC):
    """Runs a Beam pipeline that writes all splits of an example artifact, and checks what it found."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Reads the sources of the span that the driver chose.

        Raises:
            InputError: an input is missing or not usable, or too many rows are rejected.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        settings = _settings(exec_properties)
        examples = artifact_utils.get_single_instance(output_dict[standard_component_specs.EXAMPLES_KEY])
        examples.split_names = artifact_utils.encode_split_names(self.splits())
        temporary = self._get_tmp_dir()
        with self._make_beam_pipeline() as pipeline:
            self.ingest(
                pipeline,
                _sources(settings, exec_properties),
                settings=settings,
                inputs=input_dict,
                examples=examples,
                temporary=temporary,
            )
        summary = read_summary(temporary)
        self.check(summary, settings=settings, inputs=input_dict)
        voice(summary.doubts)
        for what, count in summary.notes.items():
            _LOG.warning("%s: %d, passed over", what, count)
        if summary.doubts:
            io_utils.write_string_file(
                os.path.join(examples.uri, WARNINGS_FILE),
                "".join(json.dumps(doubt.to_dict(), ensure_ascii=False) + "\n" for doubt in summary.doubts),
            )
        examples.set_int_custom_property(WARNINGS, len(summary.doubts))
        examples.set_int_custom_property(REJECTED_ROWS, summary.total)
        examples.set_int_custom_property(REPEATED_ROWS, summary.counts.get(REPEATS, 0))
        examples.set_int_custom_property(FILES_WITHOUT_ROWS, summary.counts.get(EMPTY_FILES, 0))
        write_record(examples.uri, {split: summary.counts.get(split, 0) for split in self.splits()})
        examples_utils.set_payload_format(examples, example_gen_pb2.FORMAT_TF_EXAMPLE)
        examples_utils.set_file_format(examples, write_split.to_file_format_str(example_gen_pb2.FORMAT_TFRECORDS_GZIP))

    @abc.abstractmethod
    def splits(self) -> list[str]:
        """Names of the splits that are written."""

    @abc.abstractmethod
    def ingest(
        self,
        pipeline: beam.Pipeline,
        sources: list[str],
        *,
        settings: dict[str, Any],
        inputs: dict[str, list[types.Artifact]],
        examples: types.Artifact,
        temporary: str,
    ) -> None:
        """Adds the steps that write the splits below `examples.uri` and a summary to `temporary`."""

    @abc.abstractmethod
    def check(self, summary: Summary, *, settings: dict[str, Any], inputs: dict[str, list[types.Artifact]]) -> None:
        """Raises InputError if what was found makes the output unusable."""


def parameters(source: str, settings: dict[str, Any], splits: list[str]) -> dict[str, Any]:
    """Parameters of a generator's spec: file-based for a path or pattern, query-based for a query.

    Args:
        source: path, pattern or query.
        settings: plain values that the executor reads.
        splits: names of the output's splits.
    """
    packed = any_pb2.Any()
    # A string: protobuf's own structs would turn whole numbers into floats.
    packed.Pack(wrappers_pb2.StringValue(value=json.dumps({SOURCE: source, **settings}, sort_keys=True)))
    output = [example_gen_pb2.SplitConfig.Split(name=split, hash_buckets=1) for split in splits]
    result: dict[str, Any] = {
        # The buckets are formal: the executor splits by user and time. TFX takes the names of the splits from here.
        "output_config": example_gen_pb2.Output(split_config=example_gen_pb2.SplitConfig(splits=output)),
        "custom_config": example_gen_pb2.CustomConfig(custom_config=packed),
        "output_data_format": example_gen_pb2.FORMAT_TF_EXAMPLE,
        "output_file_format": example_gen_pb2.FORMAT_TFRECORDS_GZIP,
    }
    if is_query(source):
        pattern = source[len(QUERY_MARKER) :]
    else:
        result["input_base"], pattern = split_pattern(source)
    result["input_config"] = example_gen_pb2.Input(splits=[example_gen_pb2.Input.Split(name="file", pattern=pattern)])
    return result


def data_config(settings: dict[str, Any]) -> DataConfig:
    """The `data` section with the settings' values over the defaults."""
    return Config.from_dict({DATA: settings[DATA]}).data


def split_patterns(examples: list[types.Artifact], split: str) -> tuple[str, ...]:
    """Patterns of the files of one split."""
    return tuple(io_utils.all_files_pattern(uri) for uri in artifact_utils.get_split_uris(examples, split))


def shard_count(sources: list[str]) -> int:
    """Files to write for each split, from the sizes of the sources."""
    if any(is_query(source) for source in sources):
        return _QUERY_SHARDS
    size = 0
    for path in sources:
        try:
            length = tf.io.gfile.stat(path).length
        except (OSError, tf.errors.OpError):
            # The reader says better what is wrong with it.
            continue
        size += length * (_COMPRESSION if path.endswith(_COMPRESSED) else 1)
    return min(max(-(-size // _SHARD_BYTES), 1), _LARGEST_SHARDS)


def _settings(exec_properties: dict[str, Any]) -> dict[str, Any]:
    config = example_gen_pb2.CustomConfig()
    proto_utils.json_to_proto(exec_properties[standard_component_specs.CUSTOM_CONFIG_KEY], config)
    value = wrappers_pb2.StringValue()
    config.custom_config.Unpack(value)
    return json.loads(value.value)


def _sources(settings: dict[str, Any], exec_properties: dict[str, Any]) -> list[str]:
    """The files of the spans up to the one that the driver chose, or the query with its span filled in."""
    source = settings[SOURCE]
    config = example_gen_pb2.Input()
    proto_utils.json_to_proto(exec_properties[standard_component_specs.INPUT_CONFIG_KEY], config)
    if is_query(source):
        return [QUERY_MARKER + config.splits[0].pattern]
    latest = exec_properties.get(utils.SPAN_PROPERTY_NAME)
    if not has_spans(source) or latest is None:
        chosen = spans(source, count=data_config(settings).spans)
    else:
        chosen = spans(source, count=data_config(settings).spans, latest=int(latest))
    return [file for span in chosen for file in span.files]
