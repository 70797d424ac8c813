"""Learning-rate schedule: linear warm-up, then constant, cosine or linear."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf
import tf_keras as keras

KINDS = ("constant", "cosine", "linear")


@keras.utils.register_keras_serializable("h2rec_tf")
class WarmupSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Rises from 0 to `peak` in `warmup_steps`, then stays or falls to 1 % of `peak` at `total_steps`.

    Args:
        kind: "constant", "cosine" or "linear".
        peak: highest learning rate.
        warmup_steps: steps of the rise; 0 starts at the peak.
        total_steps: steps at which the fall ends; later steps stay there.
    """

    def __init__(self, kind: str, *, peak: float, warmup_steps: int, total_steps: int) -> None:
        if kind not in KINDS:
            raise ValueError(f"`kind` must be one of {', '.join(KINDS)}, got '{kind}'")
        self.kind = kind
        self.peak = peak
        self.warmup_steps = warmup_steps
        self.total_steps = total_steps

    def __call__(self, step: Any) -> tf.Tensor:
        """Learning rate at `step` (0-based), float32 scalar."""
        step = tf.cast(step, tf.float32)
        rise = (step + 1.0) / self.warmup_steps if self.warmup_steps else tf.ones([])
        done = tf.clip_by_value((step - self.warmup_steps) / max(self.total_steps - self.warmup_steps, 1), 0.0, 1.0)
        share = {"constant": tf.ones([]), "cosine": 0.5 * (1.0 + tf.cos(math.pi * done)), "linear": 1.0 - done}[
            self.kind
        ]
        return self.peak * tf.minimum(rise, 1.0) * (0.01 + 0.99 * share)

    def get_config(self) -> dict[str, Any]:
        """All constructor arguments."""
        return {
            "kind": self.kind,
            "peak": self.peak,
            "warmup_steps": self.warmup_steps,
            "total_steps": self.total_steps,
        }
