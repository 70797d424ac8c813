"""ItemExampleGen: the items file -> item examples."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tfx.components.example_gen import component
from tfx.dsl.components.base import executor_spec

from h2rec_tf.data.catalogue import read_catalogue
from tfx_pipeline import constants
from tfx_pipeline.components.file_reader import DATA, FINGERPRINT, FileReaderExecutor, data_config, reader_parameters
from tfx_pipeline.examples import encode_items

_EMBEDDINGS = "embeddings"
# What the generator reads of the `data` section: a change of the rest does not make it run again.
_SETTINGS = (
    "item_column",
    "catalogue_item_column",
    "title_column",
    "text_columns",
    "category_column",
    "vector_column",
    "max_bad_rows",
)


class ItemExampleGenExecutor(FileReaderExecutor):
    """Items file -> one split of item examples."""

    def read_splits(self, path: str, settings: dict[str, Any]) -> dict[str, Iterable[list[bytes]]]:
        """The one split `items`."""
        data = data_config(settings)
        catalogue, _ = read_catalogue(
            path,
            item_column=data.catalogue_item_column or data.item_column,
            title_column=data.title_column,
            text_columns=data.text_columns,
            category_column=data.category_column,
            vector_column=data.vector_column,
            embeddings_path=settings[_EMBEDDINGS] or None,
            max_bad_rows=data.max_bad_rows,
        )
        return {constants.ITEMS_SPLIT: encode_items(catalogue)}


class ItemExampleGen(component.FileBasedExampleGen):
    """Reads the catalogue.

    Outputs:
        examples: split `items`, one example an item: `item_id`, `title`, `text`, `categories` and `vector` where
            given.
    """

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(ItemExampleGenExecutor)

    def __init__(self, *, items: str, embeddings: str, data: dict[str, Any], fingerprint: str):
        """Args:
        items: path of the items file.
        embeddings: path of given item vectors, or "".
        data: the configuration tree's `data` section as plain values.
        fingerprint: of the content of these files; a change makes the node run again.
        """
        data = {key: data[key] for key in _SETTINGS}
        settings = {_EMBEDDINGS: embeddings, DATA: data, FINGERPRINT: fingerprint}
        super().__init__(**reader_parameters(items, settings, [constants.ITEMS_SPLIT]))
