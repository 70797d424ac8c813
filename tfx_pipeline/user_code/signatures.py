"""Signatures that the Evaluator needs: the transform graph and per-example metrics, on serialized user examples."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

from h2rec_tf import names
from h2rec_tf.export import ServingModel
from h2rec_tf.metrics import slices


class EvaluationSignatures:
    """Functions from serialized user examples, through the transform graph, to what is evaluated.

    Args:
        model: the serving model; the transform layer becomes a part of it, so that both are saved together.
        transform_output: of the Transform component.
        ks: list lengths of the metrics.
    """

    def __init__(self, model: ServingModel, transform_output: tft.TFTransformOutput, ks: tuple[int, ...]):
        self._model = model
        self._layer = transform_output.transform_features_layer()
        model.transform_layer = self._layer
        self._spec = transform_output.raw_feature_spec()
        self._ks = ks

    def transformed(self, examples: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """string `[B]` serialized examples -> int32 histories `[B, T]`, zeros last, and targets `[B]`, 0 if none."""
        features = self._layer(tf.io.parse_example(examples, self._spec))
        histories = tf.sparse.to_dense(features[names.HISTORY_INDEX])
        return tf.cast(histories, tf.int32), tf.cast(features[names.TARGET_INDEX], tf.int32)

    def signatures(self) -> dict[str, Any]:
        """`transform_features` and `evaluate`, each on `examples` string `[B]`.

        - `transform_features`: `target_index` int64 `[B]`; `popularity_slice`, `popularity_group` and `history_slice`
          string `[B]`.
        - `evaluate`: `hr_k`, `ndcg_k` and `mrr`, float32 `[B]`.
        """
        strings = tf.TensorSpec([None], tf.string, name=names.EXAMPLES)
        history_labels = tf.constant(slices.group_labels(slices.HISTORY_GROUPS))

        @tf.function(input_signature=[strings])
        def transform_features(examples: tf.Tensor) -> dict[str, tf.Tensor]:
            histories, targets = self.transformed(examples)
            lengths = tf.math.count_nonzero(histories, axis=1, dtype=tf.int32)
            group = tf.searchsorted(tf.constant(slices.HISTORY_GROUPS), lengths, side="right") - 1
            return {
                names.TARGET_INDEX: tf.cast(targets, tf.int64),
                names.POPULARITY_SLICE: self._model.popularity_slices(targets),
                names.POPULARITY_GROUP: self._model.popularity_groups(targets),
                names.HISTORY_SLICE: tf.gather(history_labels, group),
            }

        @tf.function(input_signature=[strings])
        def evaluate(examples: tf.Tensor) -> dict[str, tf.Tensor]:
            histories, targets = self.transformed(examples)
            return self._model.metrics(histories, targets, self._ks)

        return {names.TRANSFORM_FEATURES: transform_features, names.EVALUATE: evaluate}
