"""ExampleGens of the pipeline: the library's readers behind TFX's file-based driver."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import apache_beam as beam
import tensorflow as tf
from google.protobuf import any_pb2, wrappers_pb2
from tfx import types
from tfx.components.example_gen import base_example_gen_executor, component
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.dsl.io import fileio
from tfx.proto import example_gen_pb2
from tfx.types import component_spec, standard_artifacts, standard_component_specs
from tfx.utils import proto_utils

from h2rec_tf import names
from h2rec_tf.config import Config, DataConfig
from h2rec_tf.data.catalogue import read_catalogue
from h2rec_tf.data.dataset import build_dataset
from h2rec_tf.data.interactions import read_interactions
from h2rec_tf.errors import InputError
from tfx_pipeline import constants
from tfx_pipeline.examples import decode_items, encode_items, encode_users
from tfx_pipeline.reading import split_batches

_EMBEDDINGS = "embeddings"
_DATA = "data"
_FINGERPRINT = "fingerprint"
# What each generator reads of the `data` section: a change of the rest does not make it run again.
_ITEM_SETTINGS = (
    "item_column",
    "catalogue_item_column",
    "title_column",
    "text_columns",
    "vector_column",
    "max_bad_rows",
)
_INTERACTION_SETTINGS = (
    "user_column",
    "item_column",
    "timestamp_column",
    "min_user_interactions",
    "min_item_interactions",
    "split",
    "validation_fraction",
    "test_fraction",
    "max_bad_rows",
)


class _ReaderExecutor(base_example_gen_executor.BaseExampleGenExecutor):
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


class ItemExampleGenExecutor(_ReaderExecutor):
    """Items file -> one split of item examples."""

    def read_splits(self, path: str, settings: dict[str, Any]) -> dict[str, Iterable[list[bytes]]]:
        """The one split `items`."""
        data = _data_config(settings)
        catalogue, _ = read_catalogue(
            path,
            item_column=data.catalogue_item_column or data.item_column,
            title_column=data.title_column,
            text_columns=data.text_columns,
            vector_column=data.vector_column,
            embeddings_path=settings[_EMBEDDINGS] or None,
            max_bad_rows=data.max_bad_rows,
        )
        return {constants.ITEMS_SPLIT: encode_items(catalogue)}


class InteractionExampleGenExecutor(_ReaderExecutor):
    """Interactions file and item examples -> user examples in the splits train, validation and test."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Keeps the item examples at hand for `read_splits`, then runs the stock executor."""
        self._items = input_dict[constants.ITEMS]
        super().Do(input_dict, output_dict, exec_properties)

    def read_splits(self, path: str, settings: dict[str, Any]) -> dict[str, Iterable[list[bytes]]]:
        """The splits of `h2rec_tf.names.SPLITS`."""
        data = _data_config(settings)
        catalogue = decode_items(split_batches(self._items, constants.ITEMS_SPLIT, "InteractionExampleGen"))
        interactions = read_interactions(
            path,
            user_column=data.user_column,
            item_column=data.item_column,
            timestamp_column=data.timestamp_column,
            max_bad_rows=data.max_bad_rows,
        )
        dataset = build_dataset(
            interactions,
            catalogue,
            min_user_interactions=data.min_user_interactions,
            min_item_interactions=data.min_item_interactions,
            split=data.split,
            validation_fraction=data.validation_fraction,
            test_fraction=data.test_fraction,
            max_bad_rows=data.max_bad_rows,
        )
        held_out = {names.VALIDATION: dataset.validation, names.TEST: dataset.test}
        return {
            names.TRAIN: encode_users(dataset.train, catalogue.item_ids),
            **{
                split: encode_users(holdout.histories, catalogue.item_ids, holdout.targets)
                for split, holdout in held_out.items()
            },
        }


class ItemExampleGen(component.FileBasedExampleGen):
    """Reads the catalogue.

    Outputs:
        examples: split `items`, one example an item: `item_id`, `title`, `text`, and `vector` where given.
    """

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(ItemExampleGenExecutor)

    def __init__(self, *, items: str, embeddings: str, data: dict[str, Any], fingerprint: str):
        """Args:
        items: path of the items file.
        embeddings: path of given item vectors, or "".
        data: the configuration tree's `data` section as plain values.
        fingerprint: of the content of these files; a change makes the node run again.
        """
        data = {key: data[key] for key in _ITEM_SETTINGS}
        settings = {_EMBEDDINGS: embeddings, _DATA: data, _FINGERPRINT: fingerprint}
        super().__init__(**_parameters(items, settings, [constants.ITEMS_SPLIT]))


class InteractionExampleGenSpec(standard_component_specs.FileBasedExampleGenSpec):
    """The file-based spec with the item examples."""

    INPUTS: ClassVar[dict[str, Any]] = {
        constants.ITEMS: component_spec.ChannelParameter(type=standard_artifacts.Examples)
    }


class InteractionExampleGen(component.FileBasedExampleGen):
    """Reads interactions, matches them with the items, splits them, and groups them by user.

    Outputs:
        examples: splits train, validation and test, one example a user: `user_id`, `history`, `timestamps`, and in
            held-out splits `target`.
    """

    SPEC_CLASS = InteractionExampleGenSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(InteractionExampleGenExecutor)

    def __init__(self, *, interactions: str, items: types.BaseChannel, data: dict[str, Any], fingerprint: str):
        """Args:
        interactions: path or span pattern, as `day-{SPAN}.csv`.
        items: item examples, which say what items there are.
        data: the configuration tree's `data` section as plain values.
        fingerprint: of the content of the file; a change makes the node run again.
        """
        data = {key: data[key] for key in _INTERACTION_SETTINGS}
        settings = {_DATA: data, _FINGERPRINT: fingerprint}
        spec = InteractionExampleGenSpec(
            items=items,
            examples=types.Channel(type=standard_artifacts.Examples),
            output_data_format=example_gen_pb2.FORMAT_TF_EXAMPLE,
            output_file_format=example_gen_pb2.FORMAT_TFRECORDS_GZIP,
            **_parameters(interactions, settings, list(names.SPLITS)),
        )
        # Past FileBasedExampleGen's constructor, which knows no input channel.
        base_beam_component.BaseBeamComponent.__init__(self, spec=spec)


def _parameters(path: str, settings: dict[str, Any], splits: list[str]) -> dict[str, Any]:
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


def _data_config(settings: dict[str, Any]) -> DataConfig:
    return Config.from_dict({_DATA: settings[_DATA]}).data


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
    yield from tf.data.TFRecordDataset(path).as_numpy_iterator()
