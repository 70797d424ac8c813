"""InteractionExampleGen: the interactions file and the items -> user examples in three splits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from tfx import types
from tfx.components.example_gen import component
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.proto import example_gen_pb2
from tfx.types import component_spec, standard_artifacts, standard_component_specs

from h2rec_tf import names
from h2rec_tf.data.dataset import build_dataset
from h2rec_tf.data.interactions import read_interactions
from tfx_pipeline import constants
from tfx_pipeline.components.file_reader import DATA, FINGERPRINT, FileReaderExecutor, data_config, reader_parameters
from tfx_pipeline.examples import decode_items, encode_users
from tfx_pipeline.reading import split_batches

# What the generator reads of the `data` section: a change of the rest does not make it run again.
_SETTINGS = (
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


class InteractionExampleGenExecutor(FileReaderExecutor):
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
        data = data_config(settings)
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
        data = {key: data[key] for key in _SETTINGS}
        settings = {DATA: data, FINGERPRINT: fingerprint}
        spec = InteractionExampleGenSpec(
            items=items,
            examples=types.Channel(type=standard_artifacts.Examples),
            output_data_format=example_gen_pb2.FORMAT_TF_EXAMPLE,
            output_file_format=example_gen_pb2.FORMAT_TFRECORDS_GZIP,
            **reader_parameters(interactions, settings, list(names.SPLITS)),
        )
        # Past FileBasedExampleGen's constructor, which knows no input channel.
        base_beam_component.BaseBeamComponent.__init__(self, spec=spec)
