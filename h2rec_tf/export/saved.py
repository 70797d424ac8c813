"""Writing the SavedModel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from h2rec_tf.export.serving_model import ServingModel
from h2rec_tf.export.signatures import serving_signatures


def export_model(module: ServingModel, directory: str, *, signatures: Mapping[str, Any] | None = None) -> None:
    """Writes a SavedModel.

    Args:
        module: what is exported.
        directory: where; created.
        signatures: more signatures beside the serving ones (the pipeline's feature transform and evaluation).
    """
    tf.saved_model.save(module, directory, signatures={**serving_signatures(module), **(signatures or {})})
