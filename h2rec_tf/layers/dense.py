"""A dense layer over vectors with any number of axes before them."""

from __future__ import annotations

import tensorflow as tf
import tf_keras as keras


@keras.utils.register_keras_serializable("h2rec_tf")
class Dense(keras.layers.Dense):
    """`tf_keras.layers.Dense` as one matrix product over all vectors.

    Where sizes are unknown, the layer of tf_keras goes through a general tensor product: a dozen small ops and a
    transposed copy each time, forwards and backwards, which is most of the work for a single user's short history.

    Args:
        As `tf_keras.layers.Dense`.

    Example:

    >>> Dense(4)(tf.ones([2, 5, 3])).shape
    TensorShape([2, 5, 4])
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """`[..., d]` -> `[..., units]`."""
        outputs = tf.matmul(tf.reshape(inputs, [-1, inputs.shape[-1]]), self.kernel)
        if self.use_bias:
            outputs = tf.nn.bias_add(outputs, self.bias)
        if self.activation is not None:
            outputs = self.activation(outputs)
        outputs = tf.reshape(outputs, tf.concat([tf.shape(inputs)[:-1], [self.units]], axis=0))
        outputs.set_shape([*inputs.shape[:-1], self.units])
        return outputs
