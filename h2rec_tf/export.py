"""The exported model: plain TensorFlow ops, string ids in and out, for any TensorFlow Serving."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from h2rec_tf import names, retrieval
from h2rec_tf.metrics import slices
from h2rec_tf.models.h2rec import H2Rec


class ServingModel(tf.Module):
    """A trained model with its catalogue, as functions from string ids to string ids.

    Args:
        model: trained and built.
        item_ids: `[N]` strings; row r is item index r + 1.
        titles: `[N]` strings.
        popularity: int `[N + 1]` training interactions; ranks items for a user without known history, and gives the
            slices.
        max_length: items of history the model reads.
        max_k: longest list a request may ask for.
        head_fraction: share of the catalogue that is head.
        item_block: items scored at once; bounds the score matrix to `[B, item_block]`.
    """

    def __init__(
        self,
        model: H2Rec,
        *,
        item_ids: np.ndarray,
        titles: np.ndarray,
        popularity: np.ndarray,
        max_length: int,
        max_k: int = 100,
        head_fraction: float = 0.2,
        item_block: int = 65536,
    ) -> None:
        super().__init__(name="h2rec_serving")
        self.num_items = model.num_items
        self.max_length = max_length
        self.max_k = max_k
        self._item_block = item_block
        # The Keras model stays out of the saved object graph (its layers would each be traced again); its variables
        # are in it, since the signatures capture them. One traced encoder serves all signatures.
        self._variables = list(model.variables)
        self._encode = model.user_vectors
        table = model.item_table()
        self._table = tf.Variable(table, trainable=False, name="item_table")
        self._item_ids = tf.Variable(np.concatenate([[""], item_ids]).astype(str), trainable=False, name="item_ids")
        self._titles = tf.Variable(np.concatenate([[""], titles]).astype(str), trainable=False, name="titles")
        self._popularity = tf.Variable(popularity.astype(np.float32), trainable=False, name="popularity")
        labels = slices.popularity_labels(popularity, head_fraction).astype(str)
        self._labels = tf.Variable(labels, trainable=False, name="popularity_labels")
        groups = slices.popularity_group_labels(popularity).astype(str)
        self._groups = tf.Variable(groups, trainable=False, name="popularity_groups")
        initializer = tf.lookup.KeyValueTensorInitializer(
            tf.constant(item_ids.astype(str)), tf.range(1, self.num_items + 1, dtype=tf.int64)
        )
        self._lookup = tf.lookup.StaticHashTable(initializer, default_value=0)

    def indices(self, ids: tf.Tensor) -> tf.Tensor:
        """string `[...]` item ids -> int32 `[...]` item indices; 0 for unknown ids and ""."""
        return tf.cast(self._lookup.lookup(ids), tf.int32)

    def user_vectors(self, items: tf.Tensor) -> tf.Tensor:
        """int32 `[B, T]` item indices, zeros anywhere -> float32 `[B, D]` user vectors of the last known items."""
        return self._encode(_left_padded(items)[:, -self.max_length :])

    def recommend(self, items: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
        """The best unseen items.

        Args:
            items: int32 `[B, T]` histories, oldest first, zeros anywhere. A row of zeros gets the most popular items.
            k: int32 scalar, 1..max_k.

        Returns:
            `item_ids` and `titles` string `[B, min(k, N)]`, `scores` float32 `[B, min(k, N)]`; ids and titles are ""
            where fewer items remain. Scores of popular items are their training interactions.

        Raises:
            InvalidArgumentError: `k` out of range.
        """
        limit = f"`k` must be between 1 and {self.max_k}"
        checks = [
            tf.debugging.assert_greater_equal(k, 1, message=limit),
            tf.debugging.assert_less_equal(k, self.max_k, message=limit),
        ]
        with tf.control_dependencies([check for check in checks if check is not None]):
            k = tf.identity(k)
        # A row needs one position even when the request has none.
        items = tf.pad(items, [[0, 0], [1, 0]])
        users = self.user_vectors(items)
        known = tf.reduce_any(items != 0, axis=1, keepdims=True)

        def scores(start: int, stop: int) -> tf.Tensor:
            return tf.where(
                known,
                tf.matmul(users, self._table[start:stop], transpose_b=True),
                self._popularity[None, start:stop],
            )

        found, values = retrieval.top_k(scores, num_items=self.num_items, k=k, excluded=items, block=self._item_block)
        return {
            names.ITEM_IDS: tf.gather(self._item_ids, found),
            names.TITLES: tf.gather(self._titles, found),
            names.SCORES: values,
        }

    def ranks(self, items: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """Pessimistic full rank of each target.

        Args:
            items: int32 `[B, T]` histories.
            targets: int32 `[B]`, 1..N, or 0 for none.

        Returns:
            int32 `[B]`: items (the target too) that score at least as high; N + 1 where there is no target.
        """
        users = self.user_vectors(items)
        own = tf.reduce_sum(users * tf.gather(self._table, targets), axis=1, keepdims=True)
        rank = tf.zeros_like(targets)
        # Slack for the order of summation: a dot product and a matrix product may differ in the last bit.
        slack = 1e-6 * (1.0 + tf.abs(own))
        for start in range(1, self.num_items + 1, self._item_block):
            block = self._table[start : min(start + self._item_block, self.num_items + 1)]
            scores = tf.matmul(users, block, transpose_b=True)
            rank += tf.reduce_sum(tf.cast(scores >= own - slack, tf.int32), axis=1)
        return tf.where(targets > 0, rank, self.num_items + 1)

    def metrics(self, items: tf.Tensor, targets: tf.Tensor, ks: tuple[int, ...] = (5, 10, 20)) -> dict[str, tf.Tensor]:
        """Per-row metrics, float32 `[B]` each: `hr_<k>`, `ndcg_<k>` for each k, and `mrr`; arguments as in `ranks`."""
        rank = tf.cast(self.ranks(items, targets), tf.float32)
        gain = tf.math.log(2.0) / tf.math.log(rank + 1.0)
        result = {}
        for k in ks:
            hit = tf.cast(rank <= k, tf.float32)
            result[f"hr_{k}"] = hit
            result[f"ndcg_{k}"] = hit * gain
        result["mrr"] = 1.0 / rank
        return result

    def popularity_slices(self, targets: tf.Tensor) -> tf.Tensor:
        """int32 `[B]` targets -> string `[B]`: head, tail, or "" for no target."""
        return tf.gather(self._labels, targets)

    def popularity_groups(self, targets: tf.Tensor) -> tf.Tensor:
        """int32 `[B]` targets -> string `[B]`: "1-9", "10-29" ..., cold, or "" for no target."""
        return tf.gather(self._groups, targets)

    def signatures(self) -> dict[str, Any]:
        """The serving signatures; see each function below for names and shapes.

        - `serving_default`: `history` string `[B, T]`, `k` int32 scalar (10 if absent) -> as `recommend`.
        - `serve_examples`: `examples` string `[B]`, serialized tf.Example with the feature `history`, `k` -> the same.
        - `user_embedding`: `history` -> `embedding` float32 `[B, D]`.
        - `item_embedding`: `item_ids` string `[B]` -> `embedding` float32 `[B, D]`; zeros for unknown ids.
        - `item_titles`: `item_ids` string `[B]` -> `titles` string `[B]`; "" for unknown ids.
        """
        strings = tf.TensorSpec([None], tf.string)
        histories = tf.TensorSpec([None, None], tf.string, name=names.HISTORY)
        list_length = tf.TensorSpec([], tf.int32, name=names.K)
        default_k = tf.constant(min(10, self.max_k), tf.int32)

        @tf.function(input_signature=[histories, list_length])
        def serving_default(history: tf.Tensor, k: tf.Tensor = default_k) -> dict[str, tf.Tensor]:
            return self.recommend(self.indices(history), k)

        @tf.function(input_signature=[strings, list_length])
        def serve_examples(examples: tf.Tensor, k: tf.Tensor = default_k) -> dict[str, tf.Tensor]:
            parsed = tf.io.parse_example(examples, {names.HISTORY: tf.io.VarLenFeature(tf.string)})
            return self.recommend(self.indices(tf.sparse.to_dense(parsed[names.HISTORY], default_value="")), k)

        @tf.function(input_signature=[histories])
        def user_embedding(history: tf.Tensor) -> dict[str, tf.Tensor]:
            items = tf.pad(self.indices(history), [[0, 0], [1, 0]])
            return {names.EMBEDDING: self.user_vectors(items)}

        @tf.function(input_signature=[strings])
        def item_embedding(item_ids: tf.Tensor) -> dict[str, tf.Tensor]:
            return {names.EMBEDDING: tf.gather(self._table, self.indices(item_ids))}

        @tf.function(input_signature=[strings])
        def item_titles(item_ids: tf.Tensor) -> dict[str, tf.Tensor]:
            return {names.TITLES: tf.gather(self._titles, self.indices(item_ids))}

        return {
            names.SERVING_DEFAULT: serving_default,
            names.SERVE_EXAMPLES: serve_examples,
            names.USER_EMBEDDING: user_embedding,
            names.ITEM_EMBEDDING: item_embedding,
            names.ITEM_TITLES: item_titles,
        }


def export_model(module: ServingModel, directory: str, *, signatures: Mapping[str, Any] | None = None) -> None:
    """Writes a SavedModel.

    Args:
        module: what is exported.
        directory: where; created.
        signatures: more signatures beside the serving ones (the pipeline's feature transform and evaluation).
    """
    tf.saved_model.save(module, directory, signatures={**module.signatures(), **(signatures or {})})


def _left_padded(items: tf.Tensor) -> tf.Tensor:
    """int32 `[B, T]` with zeros anywhere -> the same with zeros first, items in their order."""
    order = tf.argsort(tf.cast(items != 0, tf.int32), axis=1, stable=True)
    return tf.gather(items, order, batch_dims=1)
