"""A trained model as a graph over item indices: user vectors, ranks and metrics."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from h2rec_tf import retrieval
from h2rec_tf.metrics import slices
from h2rec_tf.models.h2rec import H2Rec
from h2rec_tf.models.item_rows import left_padded


class ItemScorer(tf.Module):
    """User and item vectors, and how well they rank a target.

    Args:
        model: trained and built.
        popularity: int `[N + 1]` training interactions.
        max_length: items of history the model reads.
        head_fraction: share of the catalogue that is head.
        item_block: items scored at once; bounds the score matrix to `[B, item_block]`.
    """

    def __init__(
        self,
        model: H2Rec,
        *,
        popularity: np.ndarray,
        max_length: int,
        head_fraction: float = 0.2,
        item_block: int = 65536,
    ) -> None:
        super().__init__(name="h2rec_serving")
        self.num_items = model.num_items
        self.max_length = max_length
        self.item_block = item_block
        self.seen_size = model.seen_size
        # The Keras model stays out of the saved object graph (its layers would each be traced again); its variables
        # are in it, since the signatures capture them. One traced encoder serves all signatures.
        self._variables = list(model.variables)
        self._encode = model.user_vectors
        table = model.learned_table()
        # A loaded model's table is shared with it.
        self._table = (
            table if isinstance(table, tf.Variable) else tf.Variable(table, trainable=False, name="item_table")
        )
        # The seen part of an item's vector has a single 1: a look-up takes the place of a product. Its last column, a
        # column of zeros, stands for items without a slot.
        self._slots = None
        if self.seen_size:
            self._slots = tf.Variable(model.seen_slots(), trainable=False, name="seen_slots")
        self._popularity = tf.Variable(popularity.astype(np.float32), trainable=False, name="popularity")
        labels = slices.popularity_labels(popularity, head_fraction).astype(str)
        self._labels = tf.Variable(labels, trainable=False, name="popularity_labels")
        groups = slices.popularity_group_labels(popularity).astype(str)
        self._groups = tf.Variable(groups, trainable=False, name="popularity_groups")

    @property
    def learned_size(self) -> int:
        """d, the width of vectors without the seen part."""
        return int(self._table.shape[1])

    @property
    def table(self) -> tf.Tensor:
        """float32 `[N + 1, d]` item vectors without the seen part, row 0 zeros.

        Rows are gathered from this tensor, never from the variable: a gather from a variable makes TensorFlow copy the
        whole of it at each later read, in all signatures.
        """
        return self._table.read_value()

    def user_vectors(self, items: tf.Tensor) -> tf.Tensor:
        """int32 `[B, T]` item indices, zeros anywhere -> float32 `[B, D]` user vectors of the last known items."""
        # A row needs one position even when the request has none.
        items = tf.pad(items, [[0, 0], [1, 0]])
        return self._encode(left_padded(items)[:, -self.max_length :])

    def learned_user_vectors(self, items: tf.Tensor) -> tf.Tensor:
        """`user_vectors` without the seen part, float32 `[B, d]`: for items that are not in the history."""
        return self.user_vectors(items)[:, : self.learned_size]

    def item_vectors(self, items: tf.Tensor) -> tf.Tensor:
        """int32 `[B]` -> float32 `[B, D]`, as the whole score uses them; zeros for index 0."""
        learned = self.learned_item_vectors(items)
        if self._slots is None:
            return learned
        # A slot of `seen_size` is outside: all zeros.
        return tf.concat([learned, tf.one_hot(tf.gather(self._slots.read_value(), items), self.seen_size)], axis=1)

    def learned_item_vectors(self, items: tf.Tensor) -> tf.Tensor:
        """`item_vectors` without the seen part, float32 `[B, d]`."""
        return tf.gather(self.table, items)

    def ranks(self, items: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """Pessimistic full rank of each target.

        Args:
            items: int32 `[B, T]` histories.
            targets: int32 `[B]`, 1..N, or 0 for none.

        Returns:
            int32 `[B]`: items (the target too) that do not score lower; N + 1 where there is no target, and 0 where the
            target's score is not a number. Another item's score that is not a number does not count as lower.
        """
        vectors, table = self.user_vectors(items), self.table
        users, seen = vectors[:, : table.shape[1]], tf.pad(vectors[:, table.shape[1] :], [[0, 0], [0, 1]])
        slots = None if self._slots is None else self._slots.read_value()
        own = tf.reduce_sum(users * tf.gather(table, targets), axis=1, keepdims=True)
        if slots is not None:
            own += tf.gather(seen, tf.gather(slots, targets)[:, None], batch_dims=1)
        rank = tf.zeros_like(targets)
        # Slack for the order of summation: a dot product and a matrix product may differ in the last bit.
        slack = 1e-6 * (1.0 + tf.abs(own))
        for start, stop in retrieval.blocks(self.num_items, self.item_block):
            # One block after the other, so that one score matrix exists at a time.
            with tf.control_dependencies([rank]):
                scores = retrieval.scored_rows(users, table, start, stop, block=self.item_block)
                if slots is not None:
                    scores += tf.gather(seen, slots[start:stop], axis=1)
            rank += tf.reduce_sum(tf.cast(tf.logical_not(scores < own - slack), tf.int32), axis=1)
        rank = tf.where(tf.math.is_nan(own - slack)[:, 0], 0, rank)
        return tf.where(targets > 0, rank, self.num_items + 1)

    def metrics(self, items: tf.Tensor, targets: tf.Tensor, ks: tuple[int, ...] = (5, 10, 20)) -> dict[str, tf.Tensor]:
        """Per-row metrics, float32 `[B]` each: `hr_<k>`, `ndcg_<k>` for each k, and `mrr`; arguments as in `ranks`.

        All are NaN where the target's score is: a model that diverged has no metrics, rather than good or bad ones.
        """
        counted = self.ranks(items, targets)
        rank = tf.where(counted > 0, tf.cast(counted, tf.float32), np.nan)
        gain = tf.math.log(2.0) / tf.math.log(rank + 1.0)
        result = {}
        for k in ks:
            hit = tf.where(counted > 0, tf.cast(rank <= k, tf.float32), np.nan)
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
