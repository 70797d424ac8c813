"""Transformer backbones: causal (SASRec) and bidirectional (BERT4Rec)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from h2rec_tf.layers.attention import AttentionBlock, attention_mask


class _TransformerBackbone(keras.layers.Layer):
    """A stack of attention blocks and a final normalisation; subclasses fix the direction of time."""

    causal: bool

    def __init__(
        self, dimensions: int, *, layers: int = 2, heads: int = 2, dropout: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.dimensions = dimensions
        self.layers = layers
        self.heads = heads
        self.dropout = dropout
        self._blocks = [
            AttentionBlock(dimensions, heads, dropout=dropout, name=f"block_{index}") for index in range(layers)
        ]
        self._norm = keras.layers.LayerNormalization(epsilon=1e-6, name="norm")

    def call(self, inputs: tf.Tensor, *, real: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """`[B, T, d]` and bool `[B, T]` (False pads) -> `[B, T, d]`, zeros at padding."""
        mask = attention_mask(real, causal=self.causal)
        hidden = inputs
        for block in self._blocks:
            hidden = block(hidden, mask=mask, training=training)
        hidden = self._norm(hidden)
        return hidden * tf.cast(real, hidden.dtype)[..., None]

    def get_config(self) -> dict[str, Any]:
        """All constructor arguments."""
        config = {
            "dimensions": self.dimensions,
            "layers": self.layers,
            "heads": self.heads,
            "dropout": self.dropout,
        }
        return {**super().get_config(), **config}


@keras.utils.register_keras_serializable("h2rec_tf")
class SasRecBackbone(_TransformerBackbone):
    """Causal transformer (SASRec, Kang and McAuley 2018): position t reads positions <= t.

    Args:
        dimensions: d.
        layers: attention blocks.
        heads: attention heads; d is a multiple of it.
        dropout: share dropped in training.
    """

    causal = True


@keras.utils.register_keras_serializable("h2rec_tf")
class Bert4RecBackbone(_TransformerBackbone):
    """Bidirectional transformer (BERT4Rec, Sun 2019): every position reads all real positions.

    It is trained on masked items and answers at a mask token put after the history.

    Args:
        dimensions: d.
        layers: attention blocks.
        heads: attention heads; d is a multiple of it.
        dropout: share dropped in training.
    """

    causal = False
