"""A transform graph over a small catalogue, made once."""

from __future__ import annotations

import pathlib

import pytest
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from pipeline_support import ITEM_IDS, RAW_SPEC, Transformed
from tensorflow_transform.tf_metadata import dataset_metadata, metadata_io

from h2rec_tf.semantic_ids import ITEM_IDS_FILE
from tfx_pipeline import constants
from tfx_pipeline.user_code.preprocessing import preprocessing_fn


@pytest.fixture(scope="session")
def transformed(tmp_path_factory: pytest.TempPathFactory) -> Transformed:
    """The graph, analyzed on four users."""
    folder = tmp_path_factory.mktemp("transform")
    vocabulary = pathlib.Path(folder / "ids")
    vocabulary.mkdir()
    (vocabulary / ITEM_IDS_FILE).write_text("".join(f"{item_id}\n" for item_id in ITEM_IDS))
    rows: list[dict[str, list]] = [
        {
            "user_id": ["a"],
            "history": ["item-01", "item-00", "item-01"],
            "target": ["item-02"],
            "timestamps": [1, 2, 3],
        },
        {"user_id": ["b"], "history": [], "target": [], "timestamps": []},
        {"user_id": ["c"], "history": ["unknown", "with space, comma"], "target": ["unknown"], "timestamps": [4, 5]},
        {"user_id": ["d"], "history": ["unknown"], "target": ["item-00"], "timestamps": [6]},
    ]
    config = {constants.SEMANTIC_IDS: str(vocabulary)}
    metadata = dataset_metadata.DatasetMetadata.from_feature_spec(RAW_SPEC)
    with tft_beam.Context(temp_dir=str(folder / "temporary")):
        (outputs, _), function = (
            rows,
            metadata,
        ) | tft_beam.AnalyzeAndTransformDataset(lambda inputs: preprocessing_fn(inputs, config))
        function | tft_beam.WriteTransformFn(str(folder / "graph"))
    metadata_io.write_metadata(metadata, str(folder / "graph" / tft.TFTransformOutput.RAW_METADATA_DIR))
    (vocabulary / ITEM_IDS_FILE).unlink()
    return Transformed(rows, outputs, tft.TFTransformOutput(str(folder / "graph")))
