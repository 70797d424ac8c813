"""Training by Keras' `fit` and by the training function: penalties, means over an epoch, padding anywhere, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from support import DIMENSIONS, MAX_LENGTH, NUM_ITEMS, left_padded, random_sequences, tiny_model

from h2rec_tf.data.batches import TrainingBatches
from h2rec_tf.errors import H2RecError
from h2rec_tf.layers.encoders import SingleBranchEncoder
from h2rec_tf.losses.next_item import KINDS
from h2rec_tf.models.finite import check_finite
from h2rec_tf.models.h2rec import H2Rec
from h2rec_tf.training.epochs import Epochs

HID = {"model.branches": "hid", "loss.teacher": 0.0}
STRENGTH = 30.0
RATE = 0.001
# Seven rows in batches of four: the last batch is a smaller one, with other losses.
ROWS = [[1, 2, 3, 4], [9, 8], [5, 6, 7], [11, 3], [2, 30, 31, 32, 33], [4, 40], [12, 13, 14, 15, 16, 17]]
ITEMS = left_padded(ROWS, 6)


def penalised(strength: float, **changes: Any) -> H2Rec:
    """A model with a penalty on the kernel that follows its encoder."""

    class Encoder(keras.layers.Layer):
        causal = True

        def __init__(self) -> None:
            super().__init__()
            self.inner = SingleBranchEncoder(DIMENSIONS, MAX_LENGTH, layers=1)
            self.outer = keras.layers.Dense(
                DIMENSIONS, kernel_initializer="identity", kernel_regularizer=keras.regularizers.L2(strength)
            )

        def call(self, inputs: tf.Tensor, *, real: tf.Tensor, training: bool | None = None) -> tf.Tensor:
            return self.outer(self.inner(inputs, real=real, training=training))

    plain = tiny_model(**HID, **changes)
    keras.utils.set_random_seed(0)
    model = H2Rec(encoder=Encoder(), branches="hid", hash_ids=plain.hash_ids, next_item=plain.next_item)
    model(tf.constant(ITEMS))
    return model


def of_batch(model: H2Rec, items: np.ndarray) -> float:
    return float(model.compute_loss(tf.constant(items)))


def kernel(model: H2Rec) -> tf.Variable:
    return model.encoder.outer.kernel


class Plain(keras.Model):
    """The same loss as the output of an ordinary Keras model: what its own `fit` makes of it is the truth."""

    def __init__(self, inner: H2Rec) -> None:
        super().__init__()
        self.inner = inner

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return self.compiled_loss.metrics

    def call(self, items: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        return tf.fill([tf.shape(items)[0], 1], self.inner.compute_loss(items, training=bool(training)))


def fitted_by_keras(inner: H2Rec, rate: float, **arguments: Any) -> tuple[dict[str, list[float]], H2Rec]:
    model = Plain(inner)
    # Eager here and below: tracing takes longer than so few steps.
    model.compile(keras.optimizers.SGD(rate), run_eagerly=True, loss=lambda _, loss: tf.reduce_mean(loss, axis=-1))
    zeros = np.zeros(len(ITEMS), np.float32)
    return model.fit(ITEMS, zeros, verbose=0, shuffle=False, **arguments).history, inner


@pytest.mark.parametrize("kind", KINDS)
def test_a_regularizer_counts_under_every_loss_as_in_keras_itself(kind: str) -> None:
    history, truth = fitted_by_keras(penalised(STRENGTH, **{"loss.next_item": kind}), RATE, batch_size=4)
    model = penalised(STRENGTH, **{"loss.next_item": kind})
    model.compile(keras.optimizers.SGD(RATE), run_eagerly=True)
    found = model.fit(ITEMS, verbose=0, shuffle=False, batch_size=4).history
    np.testing.assert_allclose(found["loss"], history["loss"], rtol=1e-5)
    np.testing.assert_allclose(kernel(model), kernel(truth), rtol=1e-4, atol=1e-6)
    # Far from where the loss alone would have moved it.
    assert np.abs(kernel(model) - np.eye(DIMENSIONS)).max() > 0.05


def test_the_training_function_counts_a_regularizer_too() -> None:
    batches = TrainingBatches(random_sequences(40), MAX_LENGTH, 64)
    kernels = []
    for strength in (0.0, STRENGTH):
        model = penalised(strength)
        model.compile(keras.optimizers.SGD(RATE))
        epochs = Epochs(model, batches, tf.distribute.get_strategy())

        class Bar:
            def update(self) -> None:
                pass

        figures = epochs.run(0, 1, Bar())
        kernels.append(kernel(model).numpy())
    # One step of gradient descent on `strength * sum(kernel ** 2)`, from the identity.
    np.testing.assert_allclose(kernels[0] - kernels[1], RATE * 2 * STRENGTH * np.eye(DIMENSIONS), atol=1e-4)
    np.testing.assert_allclose(figures["regularization_loss"], STRENGTH * DIMENSIONS, rtol=1e-5)
    np.testing.assert_allclose(figures["loss"] - figures["regularization_loss"], figures["next_item_loss"], rtol=1e-5)


# Two steps in one execution are traced, which takes half a minute.
@pytest.mark.parametrize("together", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_history_is_the_mean_over_each_epoch_weighted_as_keras_does(together: int) -> None:
    # Nothing moves: the mean by hand is that of either epoch.
    arguments: dict[str, Any] = {"batch_size": 4, "epochs": 2}
    if together == 1:
        arguments |= {"validation_data": (ITEMS[:3],), "validation_batch_size": 2}
    model = tiny_model(**HID)
    model.compile(keras.optimizers.SGD(0.0), steps_per_execution=together, run_eagerly=together == 1)
    found = model.fit(ITEMS, verbose=0, shuffle=False, **arguments).history
    by_hand = (4 * of_batch(model, ITEMS[:4]) + 3 * of_batch(model, ITEMS[4:])) / 7
    np.testing.assert_allclose(found["loss"], [by_hand, by_hand], rtol=1e-5)
    np.testing.assert_allclose(found["next_item_loss"], found["loss"], rtol=1e-5)
    assert abs(of_batch(model, ITEMS[4:]) - by_hand) > 1e-3, "the last batch's loss is another number"
    if together > 1:
        return
    validation = (2 * of_batch(model, ITEMS[:2]) + of_batch(model, ITEMS[2:3])) / 3
    np.testing.assert_allclose(found["val_loss"], [validation, validation], rtol=1e-5)
    history, _ = fitted_by_keras(tiny_model(**HID), 0.0, batch_size=4, epochs=2)
    np.testing.assert_allclose(found["loss"], history["loss"], rtol=1e-5)
    evaluated = model.evaluate(ITEMS, batch_size=4, verbose=0, return_dict=True)
    np.testing.assert_allclose(evaluated["loss"], by_hand, rtol=1e-5)


def loss_and_gradients(model: H2Rec, items: Any) -> tuple[float, list[np.ndarray | None]]:
    # Every time the same draws.
    for part in (model, model.next_item, model.item_alignment, model.teacher):
        for value in vars(part).values() if part is not None else ():
            if isinstance(value, tf.random.Generator):
                value.reset_from_seed(5)
    with tf.GradientTape() as tape:
        loss = model.compute_loss(items, training=True)
    gradients = tape.gradient(loss, model.trainable_variables)
    return float(loss), [None if each is None else tf.convert_to_tensor(each).numpy() for each in gradients]


MODELS = {
    "dual sasrec full_softmax": {},
    "hid sasrec sampled_softmax": {"model.branches": "hid", "loss.next_item": "sampled_softmax"},
    "hid sasrec bce": {"model.branches": "hid", "loss.next_item": "bce", "loss.teacher": 0.0},
    "hid sasrec in_batch": {"model.branches": "hid", "loss.next_item": "in_batch"},
    "concat gru4rec": {"model.branches": "concat", "model.backbone": "gru4rec"},
    "dual bert4rec sampled_softmax": {"model.backbone": "bert4rec", "loss.next_item": "sampled_softmax"},
}


@pytest.mark.parametrize("name", MODELS)
def test_padding_anywhere_trains_and_answers_as_padding_in_front(name: str) -> None:
    rows = [[1, 2, 3, 4, 8, 30], [9, 8], [5], [], [6, 7, 5]]
    front = left_padded(rows, 6)
    ragged = tf.ragged.constant(rows, tf.int64)
    between = front.copy()
    between[1:] = [[9, 0, 0, 0, 0, 8], [0, 0, 5, 0, 0, 0], [0] * 6, [6, 0, 7, 0, 5, 0]]
    model = tiny_model(**MODELS[name])
    answer = model(tf.constant(front)).numpy()
    loss, gradients = loss_and_gradients(model, tf.constant(front))
    assert loss > 0
    for items in (ragged.to_tensor(), ragged, tf.constant(between)):
        np.testing.assert_allclose(model(items), answer, atol=1e-6)
        found, moved = loss_and_gradients(model, items)
        np.testing.assert_allclose(found, loss, rtol=1e-5)
        for gradient, other in zip(gradients, moved, strict=True):
            assert (gradient is None) == (other is None)
            if gradient is not None:
                np.testing.assert_allclose(other, gradient, atol=2e-5)


def test_predict_reads_the_last_item_wherever_the_padding_is() -> None:
    model = tiny_model(**HID)
    model.compile("adam", run_eagerly=True)
    behind = np.asarray([row + [0] * (6 - len(row)) for row in ROWS])
    expected = model.predict(ITEMS, verbose=0)
    np.testing.assert_allclose(model.predict(behind, verbose=0), expected, atol=1e-6)
    np.testing.assert_allclose(model.user_vectors(tf.constant(behind, tf.int32)), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"y": np.zeros(7)}, "`y` is not used"),
        ({"sample_weight": np.ones(7)}, "`sample_weight` is not used"),
        ({"class_weight": {0: 1.0}}, "`class_weight` is not used"),
        ({"x": tf.data.Dataset.from_tensor_slices((ITEMS, np.ones(7))).batch(4)}, "batches of one tensor, not of 2"),
        ({"x": {"items": ITEMS}}, "a dictionary of items"),
        ({"x": ITEMS.astype(np.float32)}, "must be integers"),
        ({"x": ITEMS + NUM_ITEMS - 5}, r"must lie in 0\.\.40, got"),
        ({"x": -ITEMS}, r"must lie in 0\.\.40, got"),
        ({"x": ITEMS[:, :1]}, "two items or more"),
        ({"x": ITEMS[:, :, None]}, r"shape \[B, T\]"),
        ({"validation_data": (ITEMS, np.zeros(7))}, "batches of one tensor, not of 2"),
    ],
)
def test_what_training_would_ignore_or_misread_is_refused(arguments: dict[str, Any], words: str) -> None:
    model = tiny_model(**HID)
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    with pytest.raises(ValueError, match=words):
        model.fit(**{"x": ITEMS, "verbose": 0, **arguments})


def test_labels_in_evaluate_are_refused() -> None:
    model = tiny_model(**HID)
    model.compile(run_eagerly=True)
    with pytest.raises(ValueError, match="batches of one tensor"):
        model.evaluate(ITEMS, np.zeros(7), verbose=0)


def test_a_loss_that_is_no_number_ends_fit_before_other_callbacks_see_it() -> None:
    model = tiny_model(**{**HID, "model.score": "dot"})
    model.compile(keras.optimizers.SGD(1e30), run_eagerly=True)
    seen: list[int] = []
    watch = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch))
    with pytest.raises(H2RecError, match=r"^training: the loss is (nan|inf) in epoch \d; lower .*$"):
        model.fit(ITEMS, batch_size=2, epochs=3, verbose=0, callbacks=[watch])
    assert len(seen) < 3


def test_weights_that_the_last_step_spoiled_end_the_training() -> None:
    model = tiny_model(**HID)
    check_finite(model, {"loss": 1.0}, 1)
    table = model.hash_ids.embeddings
    table.assign(tf.tensor_scatter_nd_update(table, [[3, 0]], [np.nan]))
    with pytest.raises(H2RecError, match=r"the weights .* are not finite after epoch 2"):
        check_finite(model, {"loss": 1.0}, 2)
