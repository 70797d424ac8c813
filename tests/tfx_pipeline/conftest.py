"""A transform graph over a small catalogue and a model artifact, each made once."""

from __future__ import annotations

import functools
import pathlib

import numpy as np
import pytest
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from pipeline_support import ITEM_IDS, RAW_SPEC, Transformed
from support import MAX_LENGTH, item_parts, random_sequences, tiny_config
from tensorflow_transform.tf_metadata import dataset_metadata, metadata_io

from h2rec_tf.data.sequences import Catalogue
from h2rec_tf.export import ServingModel, export_model
from h2rec_tf.models.build import build_model
from h2rec_tf.models.store import TrainedModel
from h2rec_tf.semantic_ids import ITEM_IDS_FILE, build_semantic_ids
from tfx_pipeline import constants
from tfx_pipeline.user_code.preprocessing import preprocessing_fn
from tfx_pipeline.user_code.signatures import EvaluationSignatures


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
        ) | tft_beam.AnalyzeAndTransformDataset(functools.partial(preprocessing_fn, custom_config=config))
        function | tft_beam.WriteTransformFn(str(folder / "graph"))
    metadata_io.write_metadata(metadata, str(folder / "graph" / tft.TFTransformOutput.RAW_METADATA_DIR))
    (vocabulary / ITEM_IDS_FILE).unlink()
    return Transformed(rows, outputs, tft.TFTransformOutput(str(folder / "graph")))


@pytest.fixture(scope="session")
def model_artifact(transformed: Transformed, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """What the Trainer leaves, of a model that was built and not trained; read only."""
    folder = tmp_path_factory.mktemp("model")
    ids = np.asarray(ITEM_IDS, dtype=object)
    titles = np.asarray([f"Title of {item_id}" for item_id in ITEM_IDS], dtype=object)
    catalogue = Catalogue(item_ids=ids, titles=titles, texts=titles, vectors=item_parts()["vectors"])
    config, sequences = tiny_config(), random_sequences(num_items=len(ids))
    semantic_ids = build_semantic_ids(catalogue, quantizer=config.quantizer)
    popularity = np.bincount(sequences.items, minlength=len(ids) + 1)
    model = build_model(
        model=config.model,
        loss=config.loss,
        codes=semantic_ids.codes,
        codebooks=semantic_ids.codebooks,
        vectors=semantic_ids.vectors,
        train=sequences,
    )
    serving = ServingModel(model, item_ids=ids, titles=titles, popularity=popularity, max_length=MAX_LENGTH)
    signatures = EvaluationSignatures(serving, transformed.graph, (10,)).signatures()
    export_model(serving, str(folder / "Format-Serving"), signatures=signatures)
    TrainedModel(model, config, semantic_ids, popularity).save(str(folder / constants.TRAINED_MODEL_DIR))
    return folder
