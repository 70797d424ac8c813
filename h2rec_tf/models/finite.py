"""Whether a training still computes with numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from h2rec_tf.errors import H2RecError

_REMEDY = "lower `training.learning_rate` or `training.clip_norm`, or raise `model.temperature`"


def check_finite(model: keras.Model, losses: dict[str, float], epoch: int) -> None:
    """Ends a training whose loss or weights are no numbers any more.

    The last step of an epoch can spoil the weights after its loss was computed, and scores that are not numbers are
    above nothing and below nothing, so that a ranking by them would look perfect.

    Args:
        model: trained for this epoch.
        losses: means over the epoch by name.
        epoch: its number, 1-based.

    Raises:
        H2RecError: the message says what is not finite, and the remedy.
    """
    for name, value in losses.items():
        if not np.isfinite(value):
            raise H2RecError(f"training: the {name} is {value} in epoch {epoch}; {_REMEDY}")
    for variable in model.trainable_variables:
        if not bool(tf.reduce_all(tf.math.is_finite(variable))):
            raise H2RecError(f"training: the weights {variable.name} are not finite after epoch {epoch}; {_REMEDY}")


class StopAtNonFinite(keras.callbacks.Callback):
    """`check_finite` after each epoch of `fit`; the first of the callbacks, so that no other keeps spoiled weights."""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Raises H2RecError where `loss` or a weight is not finite."""
        check_finite(self.model, {name: value for name, value in (logs or {}).items() if name == "loss"}, epoch + 1)
