"""What a training run executes with: precision, distribution strategy, optimizer."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator

import tensorflow as tf
import tf_keras as keras


@contextlib.contextmanager
def computing_in(precision: str) -> Iterator[None]:
    """Layers made inside compute in `precision`, a Keras policy; what the caller makes afterwards does not."""
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(precision)
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)


def strategy_named(name: str) -> tf.distribute.Strategy:
    """The strategy for "mirrored" or "multi_worker"; else the one in scope."""
    if name in ("mirrored", "multi_worker"):
        return _shared_strategy(name)
    return tf.distribute.get_strategy()


@functools.cache
def _shared_strategy(name: str) -> tf.distribute.Strategy:
    # One a process: TensorFlow remembers the shapes of a strategy's reductions under numbers that every new strategy
    # counts from the start, so that a second model of another size (a search) would meet the first one's shapes.
    if name == "mirrored":
        return tf.distribute.MirroredStrategy()
    return tf.distribute.MultiWorkerMirroredStrategy()


def adam(
    schedule: keras.optimizers.schedules.LearningRateSchedule, *, clip_norm: float, weight_decay: float
) -> keras.optimizers.Optimizer:
    """Adam, or AdamW where `weight_decay` is above 0; a `clip_norm` of 0 does not clip."""
    clip = clip_norm or None
    if weight_decay:
        return keras.optimizers.AdamW(schedule, weight_decay=weight_decay, global_clipnorm=clip, jit_compile=False)
    return keras.optimizers.Adam(schedule, global_clipnorm=clip, jit_compile=False)
