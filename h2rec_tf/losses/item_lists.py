"""Lists over the whole catalogue that losses look items up in."""

from __future__ import annotations

import numpy as np
import tensorflow as tf


def held(array: np.ndarray) -> tf.Tensor:
    """The array as a tensor that graphs refer to.

    `tf.constant` inside a `tf.function` writes the values into each graph that is traced, and a graph's definition may
    hold no more than 2 GB: a catalogue of millions of items with their neighbours is more.

    Args:
        array: of any shape and type.
    """
    with tf.init_scope():
        return tf.constant(array)
