"""Branch input: scaled embeddings plus positions plus dropout."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from h2rec_tf.layers.dropout import ReplayableDropout


@keras.utils.register_keras_serializable("h2rec_tf")
class PositionedInput(keras.layers.Layer):
    """Scales by sqrt(d), adds a learned position, drops out (design: dual branch).

    A position is counted from the first real item, so it depends neither on the padding nor on later items. Positions
    beyond `max_length` share the last row.

    Args:
        max_length: rows of the position table.
        dimensions: d.
        dropout: share dropped in training.
    """

    def __init__(self, max_length: int, dimensions: int, *, dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_length = max_length
        self.dimensions = dimensions
        self.dropout = dropout
        self._dropout = ReplayableDropout(dropout)

    def build(self, input_shape: Any) -> None:
        """Creates the table `[max_length, d]`."""
        self.positions = self.add_weight(
            name="positions",
            shape=(self.max_length, self.dimensions),
            initializer=keras.initializers.RandomNormal(0.0, 0.02),
        )
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, *, real: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """`[B, T, d]` embeddings and bool `[B, T]` (False pads) -> `[B, T, d]`, zeros at padding."""
        order = tf.clip_by_value(tf.cumsum(tf.cast(real, tf.int32), axis=1) - 1, 0, self.max_length - 1)
        positioned = inputs * (self.dimensions**0.5) + tf.gather(self.positions, order)
        return self._dropout(positioned, training=training) * tf.cast(real, positioned.dtype)[..., None]

    def get_config(self) -> dict[str, Any]:
        """All constructor arguments."""
        config = {"max_length": self.max_length, "dimensions": self.dimensions, "dropout": self.dropout}
        return {**super().get_config(), **config}
