"""InteractionExampleGen: interactions and the items -> user examples in three splits."""

from __future__ import annotations

from typing import Any, ClassVar

import apache_beam as beam
from tfx import types
from tfx.components.example_gen import component, driver
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts, standard_component_specs

from h2rec_tf import names
from tfx_pipeline import constants
from tfx_pipeline.components.ingestion import (
    DATA,
    FINGERPRINT,
    REJECTED_ROWS,
    SOURCE,
    IngestionExecutor,
    data_config,
    parameters,
    shard_count,
    split_patterns,
)
from tfx_pipeline.constants import is_query
from tfx_pipeline.ingestion.findings import Summary
from tfx_pipeline.ingestion.interactions import add_interactions, check_interactions

# What the generator reads of the `data` section: a change of the rest does not make it run again.
_SETTINGS = (
    "user_column",
    "item_column",
    "timestamp_column",
    "time",
    "time_unit",
    "order_column",
    "repeats",
    "delimiter",
    "columns",
    "header",
    "quoting",
    "encoding",
    "min_user_interactions",
    "min_item_interactions",
    "k_core_rounds",
    "spans",
    "split",
    "validation_fraction",
    "test_fraction",
    "max_bad_rows",
)


class InteractionExampleGenExecutor(IngestionExecutor):
    """Interactions and item examples -> user examples in the splits train, validation and test."""

    def splits(self) -> list[str]:
        """The splits of `h2rec_tf.names.SPLITS`."""
        return list(names.SPLITS)

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
        """Adds the steps of `tfx_pipeline.ingestion.interactions`."""
        add_interactions(
            pipeline,
            sources,
            source=settings[SOURCE],
            data=data_config(settings),
            catalogue=split_patterns(inputs[constants.ITEMS], constants.ITEMS_SPLIT),
            shards=shard_count(sources),
            uri=examples.uri,
            split_uris={split: artifact_utils.get_split_uri([examples], split) for split in self.splits()},
            temporary=temporary,
        )

    def check(self, summary: Summary, *, settings: dict[str, Any], inputs: dict[str, list[types.Artifact]]) -> None:
        """Raises InputError as the library's loader does; rejected items count against the same limit."""
        rejected = sum(items.get_int_custom_property(REJECTED_ROWS) or 0 for items in inputs[constants.ITEMS])
        check_interactions(summary, settings[SOURCE], data=data_config(settings), rejected_before=rejected)


_INPUTS: dict[str, Any] = {constants.ITEMS: component_spec.ChannelParameter(type=standard_artifacts.Examples)}


class InteractionExampleGenSpec(standard_component_specs.FileBasedExampleGenSpec):
    """The file-based spec with the item examples."""

    INPUTS: ClassVar[dict[str, Any]] = _INPUTS


class InteractionQueryGenSpec(standard_component_specs.QueryBasedExampleGenSpec):
    """The query-based spec with the item examples."""

    INPUTS: ClassVar[dict[str, Any]] = _INPUTS


class InteractionExampleGen(component.FileBasedExampleGen):
    """Reads interactions from files, matches them with the items, splits them, and groups them by user.

    Outputs:
        examples: splits train, validation and test, one example a user: `user_id`, `history`, `timestamps`, and in
            held-out splits `target`; rejected rows in `rejected/`.
    """

    SPEC_CLASS = InteractionExampleGenSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(InteractionExampleGenExecutor)

    def __init__(self, *, interactions: str, items: types.BaseChannel, data: dict[str, Any], fingerprint: str):
        """Args:
        interactions: path, wildcard or span pattern, as `day-{SPAN}.csv`.
        items: item examples, which say what items there are.
        data: the configuration tree's `data` section as plain values.
        fingerprint: of the content of the files; a change makes the node run again.
        """
        # Past FileBasedExampleGen's constructor, which knows no input channel.
        base_beam_component.BaseBeamComponent.__init__(
            self, spec=_spec(InteractionExampleGenSpec, interactions, items, data, fingerprint)
        )


class InteractionQueryGen(base_beam_component.BaseBeamComponent):
    """As InteractionExampleGen, from a BigQuery query."""

    SPEC_CLASS = InteractionQueryGenSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(InteractionExampleGenExecutor)
    DRIVER_CLASS = driver.QueryBasedDriver

    def __init__(self, *, interactions: str, items: types.BaseChannel, data: dict[str, Any], fingerprint: str):
        """Args:
        interactions: `bigquery:` and the text of a query.
        items: item examples.
        data: the configuration tree's `data` section as plain values.
        fingerprint: a query has no content of its own; another value makes the node run again.
        """
        super().__init__(spec=_spec(InteractionQueryGenSpec, interactions, items, data, fingerprint))


def interaction_example_gen(
    *, interactions: str, items: types.BaseChannel, data: dict[str, Any], fingerprint: str
) -> base_beam_component.BaseBeamComponent:
    """The generator for a path, a pattern or a query; its id is the same for all."""
    kind = InteractionQueryGen if is_query(interactions) else InteractionExampleGen
    node = kind(interactions=interactions, items=items, data=data, fingerprint=fingerprint)
    return node.with_id(constants.INTERACTION_EXAMPLE_GEN)


def _spec(
    kind: type[component_spec.ComponentSpec],
    interactions: str,
    items: types.BaseChannel,
    data: dict[str, Any],
    fingerprint: str,
) -> component_spec.ComponentSpec:
    settings = {DATA: {key: data[key] for key in _SETTINGS}, FINGERPRINT: fingerprint}
    return kind(
        items=items,
        examples=types.Channel(type=standard_artifacts.Examples),
        **parameters(interactions, settings, list(names.SPLITS)),
    )
