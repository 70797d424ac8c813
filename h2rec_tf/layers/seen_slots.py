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
        seen = tf.one_hot(tf.gather(self.rows, items), self.num_slots, dtype=tf.float32)
        seen = tf.cumsum(seen, axis=1) if causal else tf.reduce_sum(seen, axis=1, keepdims=True)
        seen = tf.minimum(seen, 1.0) * self.weight
        return seen if causal else tf.repeat(seen, tf.shape(items)[1], axis=1)

    def item_slots(self) -> np.ndarray:
        """int32 `[N + 1]`: each item index's slot; `num_slots` for padding, which has none."""
        if not self.built:
            self.build(None)
        # From the variable: a trained model that was read back has its slots there.
        rows = self.rows[:-1].numpy()
        return np.where(rows < 0, self.num_slots, rows).astype(np.int32)

    def table(self) -> tf.Tensor:
        """float32 `[N + 1, m]`, the one-hot slots of all item indices; row 0 zero."""
        if not self.built:
            self.build(None)
        return tf.one_hot(self.rows[:-1], self.num_slots, dtype=tf.float32)

    def table_rows(self, items: tf.Tensor) -> tf.Tensor:
        """int `[n]` item indices -> float32 `[n, m]`, their rows of `table`."""
        if not self.built:
            self.build(None)
        return tf.one_hot(tf.gather(self.rows, items), self.num_slots, dtype=tf.float32)

    def compute_output_shape(self, input_shape: Any) -> tf.TensorShape:
        """`[B, T] -> [B, T, m]`."""
        return tf.TensorShape(input_shape).concatenate([self.num_slots])

    def get_config(self) -> dict[str, Any]:
        """All constructor arguments."""
        config = {"slots": self.slots.tolist(), "num_slots": self.num_slots, "start": self.start}
        return {**super().get_config(), **config}
