"""`run_fn`: trains on transformed examples and exports the model with all its signatures."""

from __future__ import annotations

import sys

import numpy as np
import tensorflow_transform as tft
from tfx.components.trainer.fn_args_utils import FnArgs

from h2rec_tf.config import Config
from h2rec_tf.export import export_model, serving_model
from h2rec_tf.semantic_ids import SemanticIds
from h2rec_tf.training.configured import train_configured
from tfx_pipeline import constants
from tfx_pipeline.examples import decode_holdout, decode_training
from tfx_pipeline.reading import file_batches
from tfx_pipeline.user_code.signatures import EvaluationSignatures


def run_fn(fn_args: FnArgs) -> None:
    """Trains the configured model.

    Args:
        fn_args: TFX's; `custom_config` has `config`, the sections of the configuration tree as plain values, and
            `semantic_ids`, the artifact's directory.

    Raises:
        InputError: nothing to train on or to validate on.
    """
    config = Config.from_dict(fn_args.custom_config[constants.CONFIG])
    semantic_ids = SemanticIds.load(fn_args.custom_config[constants.SEMANTIC_IDS])
    transform_output = tft.TFTransformOutput(fn_args.transform_output)
    read = fn_args.data_accessor.record_batch_factory
    result = train_configured(
        config,
        semantic_ids,
        decode_training(file_batches(read, fn_args.train_files)),
        decode_holdout(file_batches(read, fn_args.eval_files)),
        directory=fn_args.model_run_dir,
        progress=sys.stderr.isatty(),
    )
    popularity = read_popularity(transform_output, semantic_ids.item_ids)
    model = serving_model(result.model, semantic_ids, popularity, config)
    evaluation = EvaluationSignatures(model, transform_output, constants.metric_ks(config.evaluation.ks))
    export_model(model, fn_args.serving_model_dir, signatures=evaluation.signatures())


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
