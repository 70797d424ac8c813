"""The seen weight after training: the multiple of the learned one that validation likes best."""

from __future__ import annotations

import pytest

from h2rec_tf.training.calibration import FACTORS, calibrate_seen


@pytest.mark.parametrize("best", [0.0, -0.5, -1.5])
def test_takes_the_best_multiple(best: float) -> None:
    assert calibrate_seen(-0.5, lambda weight: -abs(weight - best)) == best


def test_keeps_the_learned_weight_where_nothing_is_better() -> None:
    assert calibrate_seen(-0.5, lambda weight: 1.0) == -0.5
    assert calibrate_seen(0.3, lambda weight: 1.0) == 0.3


def test_a_part_that_learned_nothing_stays_off() -> None:
    assert calibrate_seen(0.0, lambda weight: 1.0) == 0.0
    assert 1.0 in FACTORS
