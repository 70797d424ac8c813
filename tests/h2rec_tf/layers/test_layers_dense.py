"""The dense layer against tf_keras's own."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from h2rec_tf.layers.dense import Dense


@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4), (2, 3, 5, 4), (2, 0, 4)])
@pytest.mark.parametrize("options", [{}, {"activation": "gelu"}, {"use_bias": False}])
def test_values_and_gradients_are_those_of_keras(shape, options):
    ours, theirs = Dense(6, **options), keras.layers.Dense(6, **options)
    inputs = tf.constant(np.random.default_rng(0).normal(size=shape), tf.float32)
    results = []
    for layer in (ours, theirs):
        layer.build(inputs.shape)
        layer.set_weights([np.random.default_rng(1).normal(size=weight.shape) for weight in layer.get_weights()])
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            # Sizes that are known only when it runs are what the layer is for.
            outputs = tf.function(layer, input_signature=[tf.TensorSpec([None] * (len(shape) - 1) + [4])])(inputs)
            loss = tf.reduce_sum(outputs**2)
        results.append([outputs, *tape.gradient(loss, [inputs, *layer.trainable_variables])])
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_the_shape_stays_known_in_a_graph():
    layer = Dense(6)
    graph = tf.function(layer).get_concrete_function(tf.TensorSpec([None, 3, 4]))
    assert graph.outputs[0].shape.as_list() == [None, 3, 6]


def test_mixed_precision_computes_in_half():
    layer = Dense(6, dtype=keras.mixed_precision.Policy("mixed_bfloat16"))
    assert layer(tf.ones([2, 3, 4])).dtype == tf.bfloat16
    assert layer.kernel.dtype == tf.float32
