"""Hash-ID embedding: one free row an item."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras


@keras.utils.register_keras_serializable("h2rec_tf")
class HashIdEmbedding(keras.layers.Layer):
    """One free embedding row for each item (HID, design: embeddings).

    Index 0 pads and always gives zeros. Index N + 1 is the cloze mask token that bidirectional backbones read.

    Args:
        num_items: N.
        dimensions: d.
        start: float `[N, d]`, start rows of items 1..N, or None for random rows of expected norm 1.
        seed: of the random rows.

    Example:

    >>> layer = HashIdEmbedding(num_items=3, dimensions=4)
    >>> layer(tf.constant([[0, 1, 2]])).shape
    TensorShape([1, 3, 4])
    """

    def __init__(
        self, num_items: int, dimensions: int, *, start: np.ndarray | None = None, seed: int = 0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if start is not None and start.shape != (num_items, dimensions):
            raise ValueError(f"`start` must have shape ({num_items}, {dimensions}), got {start.shape}")
        self.num_items = num_items
        self.dimensions = dimensions
        self.seed = seed
        self._start = start

    def build(self, input_shape: Any) -> None:
        """Creates the table `[N + 2, d]`: padding, items, mask token."""
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self.num_items + 2, self.dimensions),
            initializer=self._initial,
            experimental_autocast=False,
        )
        super().build(input_shape)

    def _initial(self, shape: Any, dtype: Any = None, **kwargs: Any) -> tf.Tensor:
        del kwargs
        generator = np.random.default_rng(self.seed)
        rows = generator.normal(0.0, self.dimensions**-0.5, size=tuple(shape))
        if self._start is not None:
            rows[1 : self.num_items + 1] = self._start
        return tf.constant(rows, dtype or tf.float32)

    def call(self, items: tf.Tensor) -> tf.Tensor:
        """int `[...]` item indices -> `[..., d]` rows in the compute dtype; zeros where the index is 0."""
        rows = tf.cast(tf.gather(self.embeddings, items), self.compute_dtype)
        return rows * tf.cast(items != 0, rows.dtype)[..., None]

    def table(self) -> tf.Tensor:
        """float32 `[N + 1, d]`: rows of all item indices, row 0 zero."""
        if not self.built:
            self.build(None)
        return tf.concat([tf.zeros([1, self.dimensions]), self.embeddings[1:-1]], axis=0)

    def table_rows(self, items: tf.Tensor) -> tf.Tensor:
        """int `[n]` item indices 0..N -> float32 `[n, d]`, their rows of `table`."""
        if not self.built:
            self.build(None)
        return tf.gather(self.embeddings, items) * tf.cast(items != 0, tf.float32)[:, None]

    def compute_output_shape(self, input_shape: Any) -> tf.TensorShape:
        """`[...] -> [..., d]`."""
        return tf.TensorShape(input_shape).concatenate([self.dimensions])

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments but `start`, whose values are in the weights."""
        config = {"num_items": self.num_items, "dimensions": self.dimensions, "seed": self.seed}
        return {**super().get_config(), **config}
