"""How a model learns: one step for Keras' `fit` and for the training function, with its losses as epoch means."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from h2rec_tf.models.finite import StopAtNonFinite
from h2rec_tf.models.item_rows import item_rows, only_items
from h2rec_tf.models.vector_model import VectorModel

# Reported by `fit`, `evaluate` and the training function, as means over the batches of an epoch.
_LOSSES = (
    "loss",
    "next_item_loss",
    "teacher_loss",
    "item_alignment_loss",
    "user_alignment_loss",
    "regularization_loss",
)


class TrainableModel(VectorModel):
    """A vector model that learns from item sequences alone; a subclass has `compute_loss`.

    Args:
        **arguments: as `VectorModel` takes them.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._loss_means = {name: keras.metrics.Mean(name=name) for name in _LOSSES}

    def fit(self, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """Keras' `fit` on item sequences, integer `[U, T + 1]` with zeros anywhere, or a data set of such batches.

        `history` has each epoch's mean of `loss`, with the layers' regularization losses in it, and of its parts.

        Raises:
            ValueError: labels or weights, which nothing would read; item indices that the model does not have.
            H2RecError: the loss or a weight stopped being finite.
        """
        given = inspect.signature(keras.Model.fit).bind(self, *args, **kwargs).arguments
        for name in ("y", "sample_weight", "class_weight"):
            if given.get(name) is not None:
                raise ValueError(f"`{name}` is not used: the model takes item sequences alone; leave it out")
        self._check_items(given.get("x"))
        callbacks = given.get("callbacks") or []
        if isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks.append(StopAtNonFinite())
        else:
            callbacks = [StopAtNonFinite(), *(callbacks if isinstance(callbacks, (list, tuple)) else [callbacks])]
        return super().fit(**{name: given[name] for name in given if name != "self"} | {"callbacks": callbacks})

    def _check_items(self, data: Any) -> None:
        """Raises ValueError where it shows before the first step that training cannot take these data."""
        if isinstance(data, tf.data.Dataset):
            only_items(data.element_spec)
        if not isinstance(data, (np.ndarray, tf.Tensor)) or len(data.shape) != 2:
            return
        if data.shape[1] < 2:
            raise ValueError("training needs sequences of two items or more, got one column")
        items = np.asarray(data)
        if items.dtype.kind in "iu" and items.size and (items.min() < 0 or items.max() > self.num_items):
            raise ValueError(f"item indices must lie in 0..{self.num_items}, got {items.min()}..{items.max()}")

    def train_step(self, inputs: Any) -> dict[str, tf.Tensor]:
        """`learn`, and the losses' means so far."""
        self.learn(only_items(inputs))
        return self._results()

    def test_step(self, inputs: Any) -> dict[str, tf.Tensor]:
        """The losses of a batch as training has them but for dropout, as means so far."""
        self._total_loss(only_items(inputs), training=False)
        return self._results()

    def learn(self, inputs: Any) -> None:
        """One optimizer step on a batch as `compute_loss` takes it; the losses go into the model's metrics.

        Float16 gradients would underflow: under that policy the loss is scaled, as Keras' own step does it.
        """
        scaling = isinstance(self.optimizer, keras.mixed_precision.LossScaleOptimizer)
        with tf.GradientTape() as tape:
            loss = self._total_loss(inputs, training=True)
            scaled = self.optimizer.get_scaled_loss(loss) if scaling else loss
        gradients = tape.gradient(scaled, self.trainable_variables)
        if scaling:
            gradients = self.optimizer.get_unscaled_gradients(gradients)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))

    def _total_loss(self, inputs: Any, *, training: bool) -> tf.Tensor:
        """What is minimised: `compute_loss` and the regularization losses of all layers, this replica's part."""
        loss = self.compute_loss(inputs, training=training)
        rows = rows_of_step(item_rows(inputs))
        # Each replica has all the weights, and their gradients are summed.
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        penalties = [tf.reduce_sum(tf.cast(penalty, loss.dtype)) / replicas for penalty in self.losses]
        penalty = tf.add_n(penalties) if penalties else tf.zeros_like(loss)
        self._record("regularization_loss", penalty, rows)
        self._record("loss", loss + penalty, rows)
        return loss + penalty

    def _results(self) -> dict[str, tf.Tensor]:
        return {metric.name: metric.result() for metric in self.metrics}

    def _record(self, name: str, part: tf.Tensor, rows: tf.Tensor) -> None:
        """Adds a step's loss, of which this replica has a part, to its mean over the steps since the last reset.

        A step weighs what it has rows, as a batch does in Keras' own means.
        """
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        self._loss_means[name].update_state(part * replicas, sample_weight=rows / replicas)


def rows_of_step(items: tf.Tensor) -> tf.Tensor:
    """Scalar float32: sequences with an item in the whole step; rows that only fill a batch up say nothing."""
    mine = tf.math.count_nonzero(tf.reduce_any(items != 0, axis=1), dtype=tf.float32)
    return mine if tf.distribute.get_strategy().num_replicas_in_sync == 1 else sum_of_replicas(mine)


def sum_of_replicas(value: tf.Tensor) -> tf.Tensor:
    """A replica's number, added up over all replicas."""
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, value)
