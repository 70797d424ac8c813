"""What validation sets after training: the seen part's weight and the place of cold items."""

from __future__ import annotations

import pytest

from h2rec_tf.training.calibration import COLD_COST, FACTORS, calibrate_cold, calibrate_seen


@pytest.mark.parametrize("best", [0.0, -0.5, -1.5])
def test_takes_the_best_multiple(best: float) -> None:
    assert calibrate_seen(-0.5, lambda weight: -abs(weight - best)) == best


def test_keeps_the_learned_weight_where_nothing_is_better() -> None:
    assert calibrate_seen(-0.5, lambda weight: 1.0) == -0.5
    assert calibrate_seen(0.3, lambda weight: 1.0) == 0.3


def test_a_part_that_learned_nothing_stays_off() -> None:
    assert calibrate_seen(0.0, lambda weight: 1.0) == 0.0
    assert 1.0 in FACTORS


def test_cold_items_rise_as_far_as_costs_little() -> None:
    assert calibrate_cold(lambda share: 1.0) == 1.0
    assert calibrate_cold(lambda share: 1.0 - share) == 0.0
    assert calibrate_cold(lambda share: -abs(share - 0.4) + 9.0) == 0.4
    # 0.6 costs little enough, 0.8 too much.
    assert calibrate_cold(lambda share: 1.0 - COLD_COST * max(0.0, share / 0.65) ** 2) == 0.6
