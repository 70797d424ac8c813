"""A trained model as a graph over item indices: user vectors, ranks and metrics."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from h2rec_tf import retrieval
from h2rec_tf.export.scoring import Scoring, SeenMarks
from h2rec_tf.metrics import slices
from h2rec_tf.metrics.protocol import EXCLUDE
from h2rec_tf.models.h2rec import H2Rec
from h2rec_tf.models.item_rows import left_padded


class ItemScorer(tf.Module):
    """User and item vectors, and how well they rank a target.

    Args:
        model: trained and built.
        popularity: int `[N + 1]` training interactions.
        max_length: items of history the model reads.
        seen: what lists do with items of the history: "exclude" leaves them out, "include" recommends them like others.
        head_fraction: share of the catalogue that is head.
        item_block: items scored at once; bounds the score matrix to `[B, item_block]`.
    """

    def __init__(
        self,
        model: H2Rec,
        *,
        popularity: np.ndarray,
        max_length: int,
        seen: str = EXCLUDE,
        head_fraction: float = 0.2,
        item_block: int = 65536,
    ) -> None:
        super().__init__(name="h2rec_serving")
        self.num_items = model.num_items
        self.max_length = max_length
        self.item_block = item_block
        self.seen = seen
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

    def scoring(self, items: tf.Tensor, **filters: Any) -> Scoring:
        """How lists score: by inner product, for rows without a known item by popularity.

        The seen part has a say where seen items compete; where they are left out it would only press down others that
        share a slot with them.

        Args:
            items: int32 `[B, T]` histories, zeros anywhere.
            filters: of `Scoring`.
        """
        vectors = self.user_vectors(items)
        marks = None
        if self._slots is not None and self.seen != EXCLUDE:
            marks = SeenMarks(vectors[:, self.learned_size :], self._slots.read_value())
        return Scoring(
            vectors[:, : self.learned_size],
            self.table,
            self.item_block,
            answered=tf.reduce_any(items != 0, axis=1, keepdims=True),
            fallback=self._popularity.read_value(),
            marks=marks,
            **filters,
        )

    def left_out(self, items: tf.Tensor) -> tf.Tensor:
        """int32 `[B, E]`: which of a history's items must not come back; 0 fills rows."""
        return items if self.seen == EXCLUDE else items[:, :0]

    def ranks(self, items: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """Place of each target in the list of all items as `recommend` makes it, equals in the order of their indices.

        Args:
            items: int32 `[B, T]` histories.
            targets: int32 `[B]`, 1..N, or 0 for none.

        Returns:
            int32 `[B]`; N + 1 where the list cannot hold the target: there is none, or it is left out as seen. 0 where
            the target's score is not a number; another item's score that is not a number stands ahead.
        """
        scoring, left_out = self.scoring(items), self.left_out(items)
        blocks = retrieval.blocks(self.num_items, self.item_block)
        last: tf.Tensor = tf.constant(0)

        def scored(start: int, stop: int) -> tf.Tensor:
            # One block after the other, so that one score matrix exists at a time.
            with tf.control_dependencies([last]):
                return retrieval.without(scoring.block_of(start, stop), left_out, start, stop)

        # The target's score is read off the matrix it is compared with: a product of its own may differ in the last
        # bit, and equals must be equal.
        own = tf.fill([tf.shape(targets)[0], 1], retrieval.LOWEST)
        for start, stop in blocks:
            scores = scored(start, stop)
            places = targets[:, None] - start
            inside = (places >= 0) & (places < stop - start)
            found = tf.gather(scores, tf.clip_by_value(places, 0, stop - start - 1), batch_dims=1)
            own = last = tf.where(inside, found, own)
        ahead = tf.zeros_like(targets)
        for start, stop in blocks:
            # A catalogue of one block is scored once.
            scores = scores if len(blocks) == 1 else scored(start, stop)
            earlier = tf.range(start, stop)[None] < targets[:, None]
            # Whatever cannot be compared stands ahead.
            before = ~(scores <= own) | ((scores == own) & earlier)
            ahead += tf.reduce_sum(tf.cast(before, tf.int32), axis=1)
            last = ahead
        listed = (targets > 0) & (own[:, 0] > retrieval.LOWEST)
        rank = tf.where(listed, ahead + 1, self.num_items + 1)
        return tf.where(tf.math.is_nan(own[:, 0]), 0, rank)

    def metrics(self, items: tf.Tensor, targets: tf.Tensor, ks: tuple[int, ...] = (5, 10, 20)) -> dict[str, tf.Tensor]:
        """Per-row metrics, float32 `[B]` each: `hr_<k>`, `ndcg_<k>` for each k, and `mrr`; arguments as in `ranks`.

        All are NaN where the target's score is: a model that diverged has no metrics, rather than good or bad ones.
        """
        counted = self.ranks(items, targets)
        nan = tf.constant(float("nan"), tf.float64)
        rank = tf.where(counted > 0, tf.cast(counted, tf.float64), nan)
        gain = tf.math.log(tf.constant(2.0, tf.float64)) / tf.math.log(rank + 1.0)
        result = {}
        for k in ks:
            hit = tf.where(counted > 0, tf.cast(rank <= k, tf.float64), nan)
            result[f"hr_{k}"] = hit
            result[f"ndcg_{k}"] = hit * gain
        result["mrr"] = 1.0 / rank
        return {name: tf.cast(values, tf.float32) for name, values in result.items()}

    def popularity_slices(self, targets: tf.Tensor) -> tf.Tensor:
        """int32 `[B]` targets -> string `[B]`: head, tail, or "" for no target."""
        return tf.gather(self._labels, targets)

    def popularity_groups(self, targets: tf.Tensor) -> tf.Tensor:
        """int32 `[B]` targets -> string `[B]`: "1-9", "10-29" ..., cold, or "" for no target."""
        return tf.gather(self._groups, targets)
