"""Recurrent backbone."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from h2rec_tf.layers.dense import Dense
from h2rec_tf.layers.dropout import ReplayableDropout


@keras.utils.register_keras_serializable("h2rec_tf")
class Gru4RecBackbone(keras.layers.Layer):
    """Stacked GRUs (GRU4Rec, Hidasi 2016) and a linear output; padded steps leave the state as it is.

    Args:
        dimensions: d.
        layers: stacked GRUs.
        heads: ignored; taken so that backbones are interchangeable.
        dropout: share of each GRU's output dropped in training.
    """

    causal = True

    def __init__(
        self, dimensions: int, *, layers: int = 1, heads: int = 1, dropout: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.dimensions = dimensions
        self.layers = layers
        self.heads = heads
        self.dropout = dropout
        self._recurrent = [
            keras.layers.GRU(dimensions, return_sequences=True, name=f"gru_{index}") for index in range(layers)
        ]
        self._dropouts = [ReplayableDropout(dropout) for _ in range(layers)]
        self._output = Dense(dimensions, name="output")

    def call(self, inputs: tf.Tensor, *, real: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """`[B, T, d]` and bool `[B, T]` (False pads) -> `[B, T, d]`, zeros at padding."""
        hidden = inputs
        for recurrent, dropout in zip(self._recurrent, self._dropouts, strict=True):
            hidden = dropout(recurrent(hidden, mask=real, training=training), training=training)
        output = self._output(hidden)
        return output * tf.cast(real, output.dtype)[..., None]

    def get_config(self) -> dict[str, Any]:
        """All constructor arguments."""
        config = {
            "dimensions": self.dimensions,
            "layers": self.layers,
            "heads": self.heads,
            "dropout": self.dropout,
        }
        return {**super().get_config(), **config}
