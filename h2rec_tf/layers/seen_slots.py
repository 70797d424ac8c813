"""Seen slots: the part of the score that tells whether users come back to items."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras


@keras.utils.register_keras_serializable("h2rec_tf")
class SeenSlots(keras.layers.Layer):
    """One learned number for "this item was in the history", inside the inner product.

    A sequence model's user vector lies near the vectors of the items it was made of, so the best scores go to what the
    user has already seen, whether or not people return to items. Each item gets one of m slots (`slots.assign_slots`
    gives likely competitors different ones); the item's vector is the one-hot of its slot, the user's is
    `weight * 1[slot was seen]`. The weight is learned: negative where nobody returns, positive where they do. Items
    that share a slot with a seen item move with it, which is why competitors must not.

    Args:
        slots: int `[N]` in 0..num_slots - 1; row r is item index r + 1.
        num_slots: m.
        start: the weight before training, on the scale of a score.

    Example:

    >>> layer = SeenSlots(np.array([0, 1, 0]), num_slots=2)
    >>> layer(tf.constant([[0, 1, 2]])).shape
    TensorShape([1, 3, 2])
    """

    def __init__(self, slots: np.ndarray, num_slots: int, *, start: float = -0.5, **kwargs: Any) -> None:
        # Scores stay float32 under a mixed policy: near ties decide a ranking.
        super().__init__(autocast=False, **kwargs)
        slots = np.asarray(slots, np.int32)
        if slots.ndim != 1:
            raise ValueError(f"`slots` must have shape [N], got {slots.shape}")
        if slots.size and (slots.min() < 0 or slots.max() >= num_slots):
            raise ValueError(f"`slots` must lie in 0..{num_slots - 1}, got {slots.min()}..{slots.max()}")
        self.slots = slots
        self.num_slots = num_slots
        self.start = start

    def build(self, input_shape: Any) -> None:
        """Creates the weight, a scalar, and the slots `[N + 2]`, which belong to the trained model as a weight does."""
        # Padding (index 0) and the cloze mask token (N + 1) have no slot.
        rows = np.concatenate([[-1], self.slots, [-1]]).astype(np.int32)
        self.rows = self.add_weight(
            name="slots",
            shape=rows.shape,
            dtype=tf.int32,
            initializer=lambda shape, dtype=None, **_: tf.constant(rows, dtype),
            trainable=False,
        )
        self.weight = self.add_weight(
            name="weight",
            shape=(),
            initializer=keras.initializers.Constant(self.start),
            experimental_autocast=False,
            dtype=tf.float32,
        )
        super().build(input_shape)

    def call(self, items: tf.Tensor, *, causal: bool = True) -> tf.Tensor:
        """Marks what was seen.

        Args:
            items: int `[B, T]` item indices, 0 pads.
            causal: True marks items up to each position, False all items of the row.

        Returns:
            float32 `[B, T, m]`.
        """
        return self.weight * self.marks(items, causal=causal)

    def marks(self, items: tf.Tensor, *, causal: bool = True) -> tf.Tensor:
        """What `call` gives, without the weight: 1 where a slot was seen, else 0."""
        seen = tf.one_hot(self._slots_of(items), self.num_slots, dtype=tf.float32)
        seen = tf.cumsum(seen, axis=1) if causal else tf.reduce_sum(seen, axis=1, keepdims=True)
        seen = tf.minimum(seen, 1.0)
        return seen if causal else tf.repeat(seen, tf.shape(items)[1], axis=1)

    def scores(self, marks: tf.Tensor, items: tf.Tensor | None = None) -> SeenScores:
        """This part's share of the scores of users and items, as a look-up.

        Args:
            marks: float32 `[M, m]`, rows of `marks`.
            items: int `[n]` item indices; None: all, 0..N.
        """
        return SeenScores(marks, self._slots_of(tf.range(len(self.slots) + 1) if items is None else items), self)

    def _slots_of(self, items: tf.Tensor) -> tf.Tensor:
        if not self.built:
            self.build(None)
        return tf.gather(self.rows, items)

    def item_slots(self) -> np.ndarray:
        """int32 `[N + 1]`: each item index's slot; `num_slots` for padding, which has none."""
        if not self.built:
            self.build(None)
        # From the variable: a trained model that was read back has its slots there.
        rows = self.rows[:-1].numpy()
        return np.where(rows < 0, self.num_slots, rows).astype(np.int32)

    def table(self) -> tf.Tensor:
        """float32 `[N + 1, m]`, the one-hot slots of all item indices; row 0 zero."""
        return self.table_rows(tf.range(len(self.slots) + 1))

    def table_rows(self, items: tf.Tensor) -> tf.Tensor:
        """int `[n]` item indices -> float32 `[n, m]`, their rows of `table`."""
        return tf.one_hot(self._slots_of(items), self.num_slots, dtype=tf.float32)

    def compute_output_shape(self, input_shape: Any) -> tf.TensorShape:
        """`[B, T] -> [B, T, m]`."""
        return tf.TensorShape(input_shape).concatenate([self.num_slots])

    def get_config(self) -> dict[str, Any]:
        """All constructor arguments."""
        config = {"slots": self.slots.tolist(), "num_slots": self.num_slots, "start": self.start}
        return {**super().get_config(), **config}


class SeenScores:
    """The seen part's share of scores between M users and n items.

    The product of marks with one-hot slots, as the look-up that it is: it touches each score once, where the matrix
    product takes m multiplications for each, forwards and again backwards for the one weight.

    Args:
        marks: float32 `[M, m]`, 1 where a slot was seen.
        slots: int `[n]`, -1 for an item without one.
        layer: what both come from.
    """

    def __init__(self, marks: tf.Tensor, slots: tf.Tensor, layer: SeenSlots) -> None:
        # A last column that nobody has seen, for items without a slot.
        self._marks = tf.pad(marks, [[0, 0], [0, 1]])
        self._slots = tf.where(slots < 0, layer.num_slots, slots)
        self._layer = layer

    def of_all(self, rows: tf.Tensor | None = None) -> tf.Tensor:
        """float32 `[M, k]`: each user with the items at `rows`, int `[k]`; None: with all n."""
        slots = self._slots if rows is None else tf.gather(self._slots, rows)
        # Whole rows of the transpose: a look-up of single columns copies number by number.
        return self._layer.weight * tf.transpose(tf.gather(tf.transpose(self._marks), slots))

    def of_own(self, rows: tf.Tensor) -> tf.Tensor:
        """float32 `[M]` or `[M, k]`: each user with items of its own, at `rows` of that shape."""
        return self._layer.weight * tf.gather(self._marks, tf.gather(self._slots, rows), batch_dims=1)

    def users(self) -> tf.Tensor:
        """float32 `[M, m]`: the users' part of the vectors, for who needs vectors."""
        return self._layer.weight * self._marks[:, :-1]

    def items(self, rows: tf.Tensor) -> tf.Tensor:
        """float32 `[k, m]`: the items' part of the vectors, at `rows`."""
        return tf.one_hot(tf.gather(self._slots, rows), self._layer.num_slots, dtype=tf.float32)
