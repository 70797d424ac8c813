"""ItemExampleGen: the items -> item examples."""

from __future__ import annotations

from typing import Any

import apache_beam as beam
from tfx import types
from tfx.components.example_gen import component, driver
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import artifact_utils, standard_artifacts, standard_component_specs

from h2rec_tf.data.readiness import nothing_to_choose
from tfx_pipeline import constants
from tfx_pipeline.components.ingestion import (
    DATA,
    FINGERPRINT,
    SOURCE,
    IngestionExecutor,
    data_config,
    parameters,
)
from tfx_pipeline.constants import is_query
from tfx_pipeline.ingestion.findings import Summary
from tfx_pipeline.ingestion.items import ITEMS, add_items

_EMBEDDINGS = "embeddings"
# What the generator reads of the `data` section: a change of the rest does not make it run again.
_SETTINGS = (
    "item_column",
    "catalogue_item_column",
    "title_column",
    "text_columns",
    "category_column",
    "vector_column",
    "catalogue_delimiter",
    "catalogue_columns",
    "catalogue_header",
    "catalogue_quoting",
    "catalogue_encoding",
    "encoding",
    "max_bad_rows",
)


class ItemExampleGenExecutor(IngestionExecutor):
    """Items -> one split of item examples."""

    def splits(self) -> list[str]:
        """The one split `items`."""
        return [constants.ITEMS_SPLIT]

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
        """Adds the steps of `tfx_pipeline.ingestion.items`."""
        add_items(
            pipeline,
            settings[SOURCE],
            sources,
            embeddings=settings[_EMBEDDINGS],
            data=data_config(settings),
            uri=examples.uri,
            split_uri=artifact_utils.get_split_uri([examples], constants.ITEMS_SPLIT),
            temporary=temporary,
        )

    def check(self, summary: Summary, *, settings: dict[str, Any], inputs: dict[str, list[types.Artifact]]) -> None:
        """Raises InputError where the catalogue could not be read, or leaves nothing to choose from."""
        summary.check_sources()
        if summary.counts.get(ITEMS, 0) < 2:
            raise nothing_to_choose(settings[SOURCE])


class ItemExampleGen(component.FileBasedExampleGen):
    """Reads the catalogue from a file.

    Outputs:
        examples: split `items`, one example an item: `item_id`, `title`, `text`, `categories` and `vector` where
            given; rejected rows in `rejected/`.
    """

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(ItemExampleGenExecutor)

    def __init__(self, *, items: str, embeddings: str, data: dict[str, Any], fingerprint: str):
        """Args:
        items: path or span pattern of the items file.
        embeddings: path of given item vectors, or "".
        data: the configuration tree's `data` section as plain values.
        fingerprint: of the content of these files; a change makes the node run again.
        """
        super().__init__(**_parameters(items, embeddings, data, fingerprint))


class ItemQueryGen(base_beam_component.BaseBeamComponent):
    """As ItemExampleGen, from a BigQuery query."""

    SPEC_CLASS = standard_component_specs.QueryBasedExampleGenSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(ItemExampleGenExecutor)
    DRIVER_CLASS = driver.QueryBasedDriver

    def __init__(self, *, items: str, embeddings: str, data: dict[str, Any], fingerprint: str):
        """Args:
        items: `bigquery:` and the text of a query.
        embeddings: path of given item vectors, or "".
        data: the configuration tree's `data` section as plain values.
        fingerprint: a query has no content of its own; another value makes the node run again.
        """
        spec = standard_component_specs.QueryBasedExampleGenSpec(
            examples=types.Channel(type=standard_artifacts.Examples),
            **_parameters(items, embeddings, data, fingerprint),
        )
        super().__init__(spec=spec)


def item_example_gen(
    *, items: str, embeddings: str, data: dict[str, Any], fingerprint: str
) -> base_beam_component.BaseBeamComponent:
    """The generator for a path, a pattern or a query; its id is the same for all."""
    kind = ItemQueryGen if is_query(items) else ItemExampleGen
    node = kind(items=items, embeddings=embeddings, data=data, fingerprint=fingerprint)
    return node.with_id(constants.ITEM_EXAMPLE_GEN)


def _parameters(items: str, embeddings: str, data: dict[str, Any], fingerprint: str) -> dict[str, Any]:
    settings = {_EMBEDDINGS: embeddings, DATA: {key: data[key] for key in _SETTINGS}, FINGERPRINT: fingerprint}
    return parameters(items, settings, [constants.ITEMS_SPLIT])
