"""One epoch of training: batches through the model's step, on all replicas."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from h2rec_tf.data.batches import TrainingBatches
from h2rec_tf.models.finite import check_finite
from h2rec_tf.models.h2rec import H2Rec


class Epochs:
    """Runs a model over epoch after epoch of batches.

    Args:
        model: compiled; made in the scope of `distribution`.
        batches: what is learned from.
        distribution: shares the work of a step.
    """

    def __init__(self, model: H2Rec, batches: TrainingBatches, distribution: tf.distribute.Strategy) -> None:
        self._model = model
        self._batches = batches
        self._distribution = distribution
        self._step = _step_function(model, distribution, self._data(0).element_spec)

    def run(self, number: int, limit: int | None, bar: tqdm) -> dict[str, float]:
        """Trains epoch `number` (0-based), for `limit` steps at most (None: all of it), and moves the bar by each.

        Returns:
            `loss` and its parts as means over the epoch, and `sequences_per_second` of this machine.

        Raises:
            H2RecError: the loss or a weight stopped being finite.
        """
        data = self._data(number)
        for metric in self._model.metrics:
            metric.reset_state()
        sequences, began = 0, time.perf_counter()
        for batch in itertools.islice(data, limit):
            self._step(batch)
            sequences += sum(len(part) for part in self._distribution.experimental_local_results(batch))
            bar.update()
        # Reading them waits for the last step.
        figures = {metric.name: float(metric.result()) for metric in self._model.metrics}
        seconds = time.perf_counter() - began
        check_finite(self._model, {"loss": figures["loss"]}, number + 1)
        return {**figures, "sequences_per_second": sequences / seconds}

    def _data(self, number: int) -> Any:
        replicas = self._distribution.num_replicas_in_sync
        data = tf.data.Dataset.from_generator(
            lambda: (_divisible(batch, replicas) for batch in self._batches.epoch(number)),
            output_signature=tf.TensorSpec([None, None], tf.int32),
        ).prefetch(4)
        # The autotuner has nothing to tune here, and a data set that ends waits for its thread, which sleeps in periods
        # that double up to a minute.
        options = tf.data.Options()
        options.autotune.enabled = False
        data = data.with_options(options)
        return self._distribution.experimental_distribute_dataset(data) if _distributes(self._distribution) else data


def _distributes(distribution: tf.distribute.Strategy) -> bool:
    """Whether it is not TensorFlow's default strategy: another with one device still wants its steps run by it."""
    with distribution.scope():
        return tf.distribute.has_strategy()


def _divisible(batch: np.ndarray, replicas: int) -> np.ndarray:
    """The batch with as many empty sequences as make it divisible: a replica without a row would crash TensorFlow.

    `tf.nn.softmax_cross_entropy_with_logits` of a matrix without rows and columns is a segmentation fault.
    """
    missing = -len(batch) % replicas
    return np.pad(batch, [(0, missing), (0, 0)]) if missing else batch


def _step_function(model: H2Rec, distribution: tf.distribute.Strategy, spec: Any) -> Callable[[Any], None]:
    def distributed(batch: Any) -> None:
        distribution.run(model.learn, args=(batch,))

    # One trace for all lengths of sequences. The model has no Python control flow on tensors, and looking for it would
    # take seconds.
    function = distributed if _distributes(distribution) else model.learn
    return tf.function(function, input_signature=[spec], autograph=False)
