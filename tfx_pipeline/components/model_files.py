"""What components find in a model artifact: the SavedModel, and beside it the trained model with its catalogue."""

from __future__ import annotations

import os

from tfx import types
from tfx.types import artifact_utils
from tfx.utils import path_utils

from tfx_pipeline import constants


def saved_model_dir(models: list[types.Artifact]) -> str:
    """The SavedModel of the one model in a channel."""
    return path_utils.serving_model_path(artifact_utils.get_single_instance(models).uri)


def trained_dir(models: list[types.Artifact]) -> str:
    """The `TrainedModel` of the one model in a channel."""
    return os.path.join(artifact_utils.get_single_instance(models).uri, constants.TRAINED_MODEL_DIR)
