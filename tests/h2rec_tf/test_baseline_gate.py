"""The gate against baselines: verdicts by a bootstrap written out in full, and whatever is not a number refuses."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from h2rec_tf.baseline_gate import BaselineVerdict, judge
from h2rec_tf.config import Config, GateConfig
from h2rec_tf.config_tree import from_dict
from h2rec_tf.errors import InputError
from h2rec_tf.metrics.bootstrap import mean_interval

# NDCG@10 of ranks 1 to 10, and of those beyond.
GAINS = np.asarray([*(1 / np.log2(np.arange(2, 12))), 0.0])


def gate(**values: Any) -> GateConfig:
    return from_dict(GateConfig, values)


def users(generator: np.random.Generator, count: int, better: float = 0.0) -> np.ndarray:
    """NDCG@10 of random ranks; `better` is the share of users moved to rank 1."""
    drawn = GAINS[generator.integers(0, len(GAINS), count)]
    return np.where(generator.random(count) < better, 1.0, drawn)


def judged(
    model: np.ndarray, baselines: dict[str, np.ndarray], *, tail: np.ndarray, gate: GateConfig
) -> BaselineVerdict:
    """With a case for each user."""
    return judge(model, baselines, users=np.arange(len(model)), tail=tail, gate=gate)


def brute_interval(differences: np.ndarray, confidence: float, resamples: int = 4000) -> tuple[float, float]:
    """Users drawn one by one with replacement; the bounds are order statistics of the sorted means."""
    generator = np.random.default_rng(123)
    means = sorted(
        float(np.mean([differences[row] for row in generator.integers(0, len(differences), len(differences))]))
        for _ in range(resamples)
    )
    outside = (1 - confidence) / 2
    return means[round(outside * resamples)], means[round((1 - outside) * resamples) - 1]


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_the_interval_is_that_of_drawing_users_one_by_one(confidence: float) -> None:
    generator = np.random.default_rng(0)
    differences = users(generator, 60, 0.2) - users(generator, 60)
    low, high = brute_interval(differences, confidence)
    found = mean_interval(differences, np.arange(60), confidence=confidence)
    # Of the 2.5th percentile of 4000 means; the mean's own standard deviation is 0.06.
    assert found == pytest.approx((low, high), abs=0.012)
    assert found == mean_interval(differences, np.arange(60), confidence=confidence)


def test_a_user_is_drawn_with_all_cases() -> None:
    """Ten copies of every case say no more than the case itself."""
    generator = np.random.default_rng(0)
    differences = users(generator, 60, 0.2) - users(generator, 60)
    alone = mean_interval(differences, np.arange(60), confidence=0.95)
    copied = mean_interval(np.repeat(differences, 10), np.repeat(np.arange(60), 10), confidence=0.95)
    assert copied == pytest.approx(alone)
    apart = mean_interval(np.repeat(differences, 10), np.arange(600), confidence=0.95)
    assert apart[1] - apart[0] == pytest.approx((alone[1] - alone[0]) / 10**0.5, rel=0.1)
    # Users with different numbers of cases: the mean is over cases.
    values, owners = np.asarray([1.0, 1.0, 1.0, 0.0]), np.asarray(["a", "a", "a", "b"])
    assert mean_interval(values, owners, confidence=0.4) == (0.75, 0.75)


@pytest.mark.parametrize("better", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("seed", range(4))
def test_verdicts_are_those_of_the_brute_force_bootstrap(better: float, seed: int) -> None:
    generator = np.random.default_rng(seed)
    model, other = users(generator, 80, better), users(generator, 80)
    low, _ = brute_interval(model - other, 0.95, resamples=2000)
    verdict = judged(
        model, {"popularity": other}, tail=np.ones(80, bool), gate=gate(baselines=["popularity"], max_tail_loss=1)
    )
    (test,) = verdict.tests
    # Closer to 0 than the noise of either bootstrap, they may disagree.
    assert abs(low) > 0.004
    assert test.beaten == (low > 0) == (not verdict.reasons)
    assert test.difference == pytest.approx(model.mean() - other.mean(), abs=1e-6)


def test_a_model_between_two_baselines_is_refused_and_told_which_one_it_does_not_beat() -> None:
    generator = np.random.default_rng(1)
    weak, model, strong = (users(generator, 400, better) for better in (0.0, 0.3, 0.7))
    measured = {"popularity": weak, "item_knn": strong}
    verdict = judged(model, measured, tail=np.ones(400, bool), gate=gate(max_tail_loss=1))
    assert [test.beaten for test in verdict.tests] == [True, False]
    (reason,) = verdict.reasons
    assert f"overall ndcg@10 {model.mean():.4f} does not beat the baseline item_knn, {strong.mean():.4f}" in reason
    assert "95 % interval -0." in reason
    alone = judged(model, measured, tail=np.ones(400, bool), gate=gate(max_tail_loss=1, baselines=["popularity"]))
    assert not alone.reasons
    none = judged(weak, measured, tail=np.ones(400, bool), gate=gate(baselines=[]))
    assert not none.reasons and none.lines() == ["not compared with any baseline (gate.baselines is empty)"]


@pytest.mark.parametrize(("allowed", "refused"), [(0.1, True), (0.45, True), (0.55, False), (1.0, False)])
def test_a_loss_on_the_tail_is_measured_against_the_best_baseline_there(allowed: float, refused: bool) -> None:
    head = np.arange(200) < 100
    model = np.where(head, 1.0, 0.5)
    measured = {"popularity": np.where(head, 0.5, 0.0), "item_knn": np.where(head, 0.0, 1.0)}
    verdict = judged(model, measured, tail=~head, gate=gate(max_tail_loss=allowed))
    assert bool(verdict.reasons) == refused
    if refused:
        (reason,) = verdict.reasons
        assert reason.startswith("tail ndcg@10 0.5000 is 50.0% below the baseline item_knn, 1.0000")


def test_what_cannot_be_compared_is_refused() -> None:
    tail, better, worse = np.ones(50, bool), np.ones(50), np.zeros(50)
    measured = {"popularity": worse, "item_knn": worse}
    assert not judged(better, measured, tail=tail, gate=gate()).reasons
    # Not better, and nothing else.
    assert judged(worse, measured, tail=tail, gate=gate()).reasons
    for value in (math.nan, math.inf):
        spoiled = better.copy()
        spoiled[3] = value
        (reason,) = judged(spoiled, measured, tail=tail, gate=gate()).reasons
        assert reason == "ndcg@10 of the model is not a number for 1 of 50 test cases"
        (reason,) = judged(better, measured | {"popularity": spoiled - 1}, tail=tail, gate=gate()).reasons
        assert reason == "ndcg@10 of popularity is not a number for 1 of 50 test cases"
    (reason,) = judged(better, measured, tail=~tail, gate=gate()).reasons
    assert "no test case has a tail target" in reason
    assert not judged(better, measured, tail=~tail, gate=gate(max_tail_loss=1)).reasons
    nobody = {name: values[:0] for name, values in measured.items()}
    (reason,) = judged(better[:0], nobody, tail=tail[:0], gate=gate()).reasons
    assert "the test split is empty" in reason


def test_few_users_prove_nothing() -> None:
    """A sign test with five users has no p below 1/16; six have 1/32."""
    measured = {"popularity": np.zeros(6)}
    settings = gate(baselines=["popularity"])
    five = np.asarray([1.0, 1.0, 1.0, 1.0, 1.0, 0.0])
    (reason,) = judged(five[:5], {"popularity": np.zeros(5)}, tail=np.ones(5, bool), gate=settings).reasons
    assert "only 5 test users tell them apart, 0.95 confidence needs 6" in reason
    assert judged(five, measured, tail=np.ones(6, bool), gate=settings).reasons
    assert not judged(np.ones(6), measured, tail=np.ones(6, bool), gate=settings).reasons


def test_a_verdict_survives_json() -> None:
    generator = np.random.default_rng(2)
    model = users(generator, 50, 0.9)
    for tail in (np.ones(50, bool), np.zeros(50, bool)):
        verdict = judged(model, {"popularity": users(generator, 50)}, tail=tail, gate=gate(baselines=["popularity"]))
        text = json.dumps(verdict.to_dict(), allow_nan=False)
        assert repr(BaselineVerdict.from_dict(json.loads(text))) == repr(verdict)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (["popularity", "itemknn"], "`gate.baselines` must be one of popularity, item_knn, got 'itemknn'"),
        (["popularity", "popularity"], "`gate.baselines` names one entry twice"),
        ("popularity", "`gate.baselines` must be a list"),
    ],
)
def test_a_wrong_list_of_baselines_is_refused(value: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Config.from_dict({"gate": {"baselines": value}})
