"""`run_fn`: trains on transformed examples and exports the model with all its signatures."""

from __future__ import annotations

import dataclasses
import json
import os
import sys

import numpy as np
import tensorflow_transform as tft
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.utils import io_utils

from h2rec_tf.config import Config
from h2rec_tf.export import export_model, serving_model
from h2rec_tf.models.store import TrainedModel
from h2rec_tf.semantic_ids import SemanticIds
from h2rec_tf.training.configured import train_configured
from h2rec_tf.training.loop import TrainingResult
from tfx_pipeline import constants
from tfx_pipeline.examples import decode_holdout, decode_training
from tfx_pipeline.reading import file_batches
from tfx_pipeline.storage import is_chief, kept_local
from tfx_pipeline.user_code.signatures import EvaluationSignatures


def run_fn(fn_args: FnArgs) -> None:
    """Trains the configured model and writes all its forms.

    The SavedModel goes to `serving_model_dir`, a `TrainedModel` beside it (`constants.TRAINED_MODEL_DIR`), TensorBoard
    logs and the record of every epoch to `model_run_dir`.

    All paths are local but that of the checkpoints, which are copied there after each epoch.

    Args:
        fn_args: TFX's; `custom_config` has `config`, the sections of the configuration tree as plain values,
            `semantic_ids`, the artifact's directory, and `checkpoints`, the directory of this training's checkpoints.
            `hyperparameters` are dotted configuration keys with values that go before those of `config`.

    Raises:
        InputError: nothing to train on or to validate on.
    """
    config = Config.from_dict(fn_args.custom_config[constants.CONFIG])
    config = config.replace(**(fn_args.hyperparameters or {}))
    semantic_ids = SemanticIds.load(fn_args.custom_config[constants.SEMANTIC_IDS])
    read = fn_args.data_accessor.record_batch_factory
    with kept_local(fn_args.custom_config[constants.CHECKPOINTS], chief=is_chief(os.environ)) as kept:
        result = train_configured(
            config,
            semantic_ids,
            decode_training(file_batches(read, fn_args.train_files)),
            decode_holdout(file_batches(read, fn_args.eval_files)),
            directory=kept.directory,
            base=trained_model_dir(fn_args.base_model) if fn_args.base_model else None,
            # After the checkpoint of the epoch.
            on_epoch=lambda epoch, figures: kept.save(),
            progress=sys.stderr.isatty(),
        )
        _write_logs(result, kept.directory, fn_args.model_run_dir)
    transform_output = tft.TFTransformOutput(fn_args.transform_output)
    popularity = read_popularity(transform_output, semantic_ids.item_ids)
    model = serving_model(result.model, semantic_ids, popularity, config)
    evaluation = EvaluationSignatures(model, transform_output, constants.metric_ks(config.evaluation.ks))
    export_model(model, fn_args.serving_model_dir, signatures=evaluation.signatures())
    trained = trained_model_dir(fn_args.serving_model_dir)
    TrainedModel(result.model, config, semantic_ids, popularity).save(trained)


def trained_model_dir(serving_model_dir: str) -> str:
    """Where the `TrainedModel` of a model artifact lies, given the place of its SavedModel."""
    return os.path.join(os.path.dirname(serving_model_dir.rstrip("/")), constants.TRAINED_MODEL_DIR)


def _write_logs(result: TrainingResult, workspace: str, model_run_dir: str) -> None:
    target = os.path.join(model_run_dir, constants.TENSORBOARD_DIR)
    if workspace != model_run_dir:
        # Copied at the end, so that the logs of a training with interruptions are whole.
        io_utils.copy_dir(os.path.join(workspace, constants.TENSORBOARD_DIR), target)
    record = dataclasses.asdict(dataclasses.replace(result, model=None))  # type: ignore[arg-type]
    record.pop("model")
    with open(os.path.join(model_run_dir, constants.HISTORY_FILE), "w", encoding="utf-8") as file:
        file.write(json.dumps(record))


def read_popularity(transform_output: tft.TFTransformOutput, item_ids: np.ndarray) -> np.ndarray:
    """int64 `[N + 1]`, training interactions of each item index as Transform counted them; entry 0 (padding) is 0.

    Ids that the catalogue does not have are passed over.
    """
    index = {item_id: row + 1 for row, item_id in enumerate(item_ids.tolist())}
    popularity = np.zeros(len(item_ids) + 1, np.int64)
    for line in transform_output.vocabulary_by_name(constants.POPULARITY_VOCABULARY):
        count, _, item_id = line.decode("utf-8").partition(" ")
        if item_id in index:
            popularity[index[item_id]] = int(count)
    return popularity
