"""The learning-rate schedule against its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest

from h2rec_tf.training.schedule import WarmupSchedule


def _expected(kind: str, step: int, warmup: int, total: int) -> float:
    if step < warmup:
        rise = (step + 1) / warmup
        return 0.1 * rise
    done = min((step - warmup) / (total - warmup), 1.0)
    share = {"constant": 1.0, "linear": 1.0 - done, "cosine": (1 + math.cos(math.pi * done)) / 2}[kind]
    return 0.1 * (0.01 + 0.99 * share)


@pytest.mark.parametrize("kind", ["constant", "cosine", "linear"])
@pytest.mark.parametrize("warmup", [0, 4])
def test_schedule(kind: str, warmup: int) -> None:
    schedule = WarmupSchedule(kind, peak=0.1, warmup_steps=warmup, total_steps=20)
    found = [float(schedule(step)) for step in range(30)]
    np.testing.assert_allclose(found, [_expected(kind, step, warmup, 20) for step in range(30)], rtol=1e-5)


def test_degenerate_lengths_are_finite() -> None:
    for total in (0, 1, 5):
        schedule = WarmupSchedule("cosine", peak=0.1, warmup_steps=5, total_steps=total)
        assert np.isfinite([schedule(step) for step in range(8)]).all()


def test_unknown_kind_is_named() -> None:
    with pytest.raises(ValueError, match="`kind` must be one of constant, cosine, linear, got 'step'"):
        WarmupSchedule("step", peak=0.1, warmup_steps=0, total_steps=1)
