"""From a trained model and its configuration to what is exported."""

from __future__ import annotations

import numpy as np

from h2rec_tf.config import Config
from h2rec_tf.export.serving_model import ServingModel
from h2rec_tf.models.cold_items import ColdItems
from h2rec_tf.models.h2rec import H2Rec
from h2rec_tf.semantic_ids import SemanticIds


def serving_model(model: H2Rec, semantic_ids: SemanticIds, popularity: np.ndarray, config: Config) -> ServingModel:
    """What `export_model` writes.

    Args:
        model: trained and built.
        semantic_ids: the catalogue, its codes, quantizer and text encoder.
        popularity: int `[N + 1]` training interactions.
        config: `model.max_length`, the `serving` section and `evaluation.head_fraction` are read.
    """
    return ServingModel(
        model,
        item_ids=semantic_ids.item_ids,
        titles=semantic_ids.titles,
        categories=semantic_ids.categories,
        popularity=popularity,
        max_length=config.model.max_length,
        seen=config.serving.seen,
        max_k=config.serving.max_k,
        head_fraction=config.evaluation.head_fraction,
        cold_items=ColdItems(model, quantizer=semantic_ids.quantizer, codes=semantic_ids.codes, popularity=popularity),
        text_encoder=semantic_ids.text_encoder,
    )
