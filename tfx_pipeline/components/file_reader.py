"""What the pipeline's ExampleGens share: one file through a reader of the library into splits of examples."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import tensorflow as tf
from google.protobuf import any_pb2, wrappers_pb2
from tfx.components.example_gen import base_example_gen_executor
from tfx.dsl.io import fileio
from tfx.proto import example_gen_pb2
from tfx.types import standard_component_specs
from tfx.utils import proto_utils

from h2rec_tf.config import Config, DataConfig
from h2rec_tf.errors import InputError

# Keys of a generator's settings.
DATA = "data"
FINGERPRINT = "fingerprint"


class FileReaderExecutor(base_example_gen_executor.BaseExampleGenExecutor):
    """Turns the file that the driver resolved into splits of serialized examples.

    The readers run where the Beam pipeline is built, so that bad input fails there with its own message. What they give
    goes to Beam in files: elements of `beam.Create` would be pickled and compressed.
    """

    def GetInputSourceToExamplePTransform(self) -> beam.PTransform:
        """Not used: one read gives all splits, so `GenerateExamplesByBeam` is overridden."""
        raise NotImplementedError("this generator makes its splits in GenerateExamplesByBeam")

    def GenerateExamplesByBeam(
        self, pipeline: beam.Pipeline, exec_properties: dict[str, Any]
    ) -> dict[str, beam.pvalue.PCollection]:
        """Split name -> serialized examples.

        Raises:
            InputError: a file is missing or not usable.
        """
        splits = self.read_splits(_resolved_file(exec_properties), _settings(exec_properties))
        result = {}
        for split, batches in splits.items():
            files = [self._spool(f"{split}-{number}", batch) for number, batch in enumerate(batches)]
            result[split] = (
                pipeline
                | f"Files[{split}]" >> beam.Create(files)
                | f"Examples[{split}]" >> beam.FlatMap(_records).with_output_types(bytes)
            )
        return result

    def read_splits(self, path: str, settings: dict[str, Any]) -> dict[str, Iterable[list[bytes]]]:
        """Split name -> batches of serialized examples of the file at `path`."""
        raise NotImplementedError

    def _spool(self, name: str, batch: list[bytes]) -> str:
        path = os.path.join(self._get_tmp_dir(), name)
        with tf.io.TFRecordWriter(path) as writer:
            for example in batch:
                writer.write(example)
        return path


def reader_parameters(path: str, settings: dict[str, Any], splits: list[str]) -> dict[str, Any]:
    """Parameters of a file-based example generator that reads one file with `settings`."""
    packed = any_pb2.Any()
    # A string: protobuf's own structs would turn whole numbers into floats.
    packed.Pack(wrappers_pb2.StringValue(value=json.dumps(settings, sort_keys=True)))
    base, pattern = os.path.split(path)
    output = [example_gen_pb2.SplitConfig.Split(name=split, hash_buckets=1) for split in splits]
    return {
        "input_base": base or ".",
        "input_config": example_gen_pb2.Input(splits=[example_gen_pb2.Input.Split(name="file", pattern=pattern)]),
        # The buckets are formal: the executor splits by user and time. TFX takes the names of the splits from here.
        "output_config": example_gen_pb2.Output(split_config=example_gen_pb2.SplitConfig(splits=output)),
        "custom_config": example_gen_pb2.CustomConfig(custom_config=packed),
    }


def _settings(exec_properties: dict[str, Any]) -> dict[str, Any]:
    config = example_gen_pb2.CustomConfig()
    proto_utils.json_to_proto(exec_properties[standard_component_specs.CUSTOM_CONFIG_KEY], config)
    value = wrappers_pb2.StringValue()
    config.custom_config.Unpack(value)
    return json.loads(value.value)


def data_config(settings: dict[str, Any]) -> DataConfig:
    """The `data` section with the settings' values over the defaults."""
    return Config.from_dict({DATA: settings[DATA]}).data


def _resolved_file(exec_properties: dict[str, Any]) -> str:
    """The file of the span that the driver chose."""
    config = example_gen_pb2.Input()
    proto_utils.json_to_proto(exec_properties[standard_component_specs.INPUT_CONFIG_KEY], config)
    pattern = os.path.join(exec_properties[standard_component_specs.INPUT_BASE_KEY], config.splits[0].pattern)
    files = sorted(fileio.glob(pattern))
    if len(files) != 1:
        found = f"{len(files)} files: {', '.join(files[:3])}" if files else "no file"
        raise InputError(f"{pattern}: expected one file, found {found}")
    return files[0]


def _records(path: str) -> Iterator[bytes]:
    """Records of one uncompressed TFRecord file."""
    # In batches: each step of a tf.data iterator costs more than a record.
    for batch in tf.data.TFRecordDataset(path).batch(1024).as_numpy_iterator():
        yield from batch.tolist()
