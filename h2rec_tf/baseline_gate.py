"""The gate against baselines: a model must beat recommenders that need no training.

Baselines are popularity, item-kNN and their like. The model that was blessed last, which TFMA calls a baseline, is
another comparison.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from h2rec_tf.config import GateConfig
from h2rec_tf.errors import InputError
from h2rec_tf.metrics.bootstrap import mean_interval

# Metrics from a float32 graph and from NumPy differ by less; NDCG@10 of two ranks differs by more.
_DECIMALS = 6


@dataclasses.dataclass(frozen=True)
class BaselineTest:
    """The judged model against one baseline, NDCG@10 on the same test cases.

    Attributes:
        baseline: its name in `gate.baselines`.
        value: the baseline's mean over all cases.
        difference: the model's mean minus that.
        low: of the bootstrap interval of the difference.
        high: of the same.
        tail: the baseline's mean over cases with a tail target; NaN without any.
        beaten: whether the model is better for sure enough.
    """

    baseline: str
    value: float
    difference: float
    low: float
    high: float
    tail: float
    beaten: bool


@dataclasses.dataclass(frozen=True)
class BaselineVerdict:
    """What came of the comparison.

    Attributes:
        value: the model's mean NDCG@10 over all cases.
        tail: over cases with a tail target; NaN without any.
        confidence: of the intervals.
        tests: one for each baseline of `gate.baselines`; none where that is empty.
        reasons: why the model is refused, one line each; none where it passes.
    """

    value: float
    tail: float
    confidence: float
    tests: tuple[BaselineTest, ...]
    reasons: tuple[str, ...]

    def lines(self) -> list[str]:
        """The comparison in words, one line for each baseline."""
        if not self.tests:
            return ["not compared with any baseline (gate.baselines is empty)"]
        return [
            f"{'beats' if test.beaten else 'does not beat'} {test.baseline}: ndcg@10 {self.value:.4f} against"
            f" {test.value:.4f}, difference {_interval(test, self.confidence)};"
            f" tail {_shown(self.tail)} against {_shown(test.tail)}"
            for test in self.tests
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, which has no NaN: None stands for it."""
        values = dataclasses.asdict(self)
        rows = [values, *values["tests"]]
        for row in rows:
            row.update({key: None for key, value in row.items() if isinstance(value, float) and math.isnan(value)})
        return values | {"tests": list(values["tests"]), "reasons": list(self.reasons)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> BaselineVerdict:
        """The verdict that `to_dict` described."""
        tests = tuple(BaselineTest(**_with_nan(test)) for test in values["tests"])
        return cls(**(_with_nan(values) | {"tests": tests, "reasons": tuple(values["reasons"])}))


def judge(
    model: np.ndarray,
    baselines: Mapping[str, np.ndarray],
    *,
    users: np.ndarray,
    tail: np.ndarray,
    gate: GateConfig,
) -> BaselineVerdict:
    """Compares a model's NDCG@10 of each test case with that of baselines.

    A baseline is beaten when the bootstrap interval of the mean difference lies above 0, and enough users tell the two
    apart: as many as a sign test at the same confidence would need at the least. Whatever is not a number refuses.

    Args:
        model: float `[C]`, one a case: a user's history and what came next. A user may have several.
        baselines: name -> float `[C]` of the same cases; must have those of `gate.baselines`, others are not judged.
        users: `[C]`, whose each case is.
        tail: bool `[C]`, cases with a tail target.
        gate: `baselines`, `confidence` and `max_tail_loss` are read.

    Raises:
        InputError: a baseline of `gate.baselines` was not measured.
    """
    absent = [name for name in gate.baselines if name not in baselines]
    if absent:
        raise InputError(f"config: `gate.baselines` names {', '.join(absent)}; there are: {', '.join(baselines)}")
    model = np.round(np.asarray(model, np.float64), _DECIMALS)
    tests, reasons = [], []
    others = {name: np.round(np.asarray(baselines[name], np.float64), _DECIMALS) for name in gate.baselines}
    if not len(model):
        reasons.append("the test split is empty, so nothing says that the model is better than a baseline")
    for name, values in {"the model": model, **others}.items():
        unknown = int(np.count_nonzero(~np.isfinite(values)))
        if unknown:
            reasons.append(f"ndcg@10 of {name} is not a number for {unknown} of {len(model)} test cases")
    for name, other in others.items() if not reasons else ():
        test, reason = _test(name, model, other, users, tail, gate.confidence)
        tests.append(test)
        reasons += [reason] if reason else []
    verdict = BaselineVerdict(
        value=_mean(model), tail=_mean(model[tail]), confidence=gate.confidence, tests=tuple(tests), reasons=()
    )
    if tests and gate.max_tail_loss < 1.0:
        reasons += _tail_reasons(verdict, gate.max_tail_loss)
    # Without baselines nothing is asked; the Evaluator's other thresholds still stand.
    return dataclasses.replace(verdict, reasons=tuple(reasons) if gate.baselines else ())


def _test(
    name: str, model: np.ndarray, other: np.ndarray, users: np.ndarray, tail: np.ndarray, confidence: float
) -> tuple[BaselineTest, str]:
    """The comparison, and why the baseline is not beaten, or ""."""
    differences = model - other
    low, high = mean_interval(differences, users, confidence=confidence)
    apart, needed = len(np.unique(users[differences != 0])), _needed(confidence)
    beaten = low > 0.0 and apart >= needed
    test = BaselineTest(name, _mean(other), _mean(differences), low, high, _mean(other[tail]), beaten)
    if beaten:
        return test, ""
    values = f"overall ndcg@10 {_mean(model):.4f} does not beat the baseline {name}, {test.value:.4f}"
    if low > 0.0:
        return test, (
            f"{values}, for sure: only {apart} test users tell them apart, {confidence:g} confidence needs {needed};"
            " hold out more users"
        )
    return test, f"{values} (difference {_interval(test, confidence)}, which must lie above 0)"


def _tail_reasons(verdict: BaselineVerdict, allowed: float) -> list[str]:
    if math.isnan(verdict.tail):
        return [
            "no test case has a tail target, so the tail cannot be compared with the baselines; hold out more users,"
            " or set gate.max_tail_loss to 1"
        ]
    best = max(verdict.tests, key=lambda test: test.tail)
    if verdict.tail >= best.tail * (1.0 - allowed):
        return []
    return [
        f"tail ndcg@10 {verdict.tail:.4f} is {1.0 - verdict.tail / best.tail:.1%} below the baseline {best.baseline},"
        f" {best.tail:.4f}; gate.max_tail_loss accepts {allowed:.1%}"
    ]


def _needed(confidence: float) -> int:
    """Users that a two-sided sign test needs at the least: n with 2 ** (1 - n) <= 1 - confidence."""
    return math.ceil(1.0 - math.log2(1.0 - confidence) - 1e-9)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else math.nan


def _interval(test: BaselineTest, confidence: float) -> str:
    return f"{test.difference:+.4f}, {confidence * 100:g} % interval {test.low:+.4f} to {test.high:+.4f}"


def _shown(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4f}"


def _with_nan(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: math.nan if value is None else value for key, value in values.items()}
