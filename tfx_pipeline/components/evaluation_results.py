"""What the Evaluator wrote: metrics by slice, the comparison with baselines, and the verdict with its reasons."""

from __future__ import annotations

import dataclasses
import math

import tensorflow_model_analysis as tfma

from h2rec_tf import names
from tfx_pipeline.components.baseline_comparison import BaselineResults
from tfx_pipeline.components.evaluation import GATE_METRIC, slice_name

# What the Evaluator calls the new model when there is a baseline to compare with.
_CANDIDATE = "candidate"


@dataclasses.dataclass(frozen=True)
class EvaluationResults:
    """An evaluation artifact in plain values.

    Attributes:
        metrics: slice -> metric -> value, as `metrics["head"]["ndcg_10"]`, slices in the order of `slice_order`;
            `users` is the number of examples.
        baselines: recommenders without training on the same users, and how the model stands to them.
        blessed: the Evaluator's verdict: TFMA's thresholds hold, the baselines are beaten, and no figure of the metric
            that decides is anything but a number.
        reasons: why it was not blessed, one line each.
    """

    metrics: dict[str, dict[str, float]]
    baselines: BaselineResults
    blessed: bool
    reasons: list[str]

    @classmethod
    def load(cls, evaluation: str) -> EvaluationResults:
        """Reads the artifact in the directory `evaluation`.

        Raises:
            InputError: it has no comparison with baselines.
        """
        result = tfma.load_validation_result(evaluation)
        metrics = _metrics(evaluation)
        ordered = {name: metrics[name] for name in sorted(metrics, key=slice_order)}
        baselines = BaselineResults.load(evaluation)
        more = [*_not_numbers(ordered), *baselines.verdict.reasons]
        return cls(ordered, baselines, result.validation_ok and not more, [*_reasons(result, metrics), *more])


def slice_order(name: str) -> tuple[int, str, int]:
    """Sort key of slice names: overall, head, tail, cold, then the groups of popularity and of history."""
    order = (names.OVERALL, names.HEAD, names.TAIL, names.COLD)
    if name in order:
        return order.index(name), "", 0
    # "popularity 10-29" after "popularity 1-9": by the group's lower bound.
    kind, _, group = name.partition(" ")
    digits = "".join(letter if letter.isdigit() else " " for letter in group).split()
    return len(order), kind if kind != "popularity" else "", int(digits[0]) if digits else 0


def _metrics(evaluation: str) -> dict[str, dict[str, float]]:
    metrics: dict[str, dict[str, float]] = {}
    for record in tfma.load_metrics(evaluation):
        row = metrics.setdefault(_slice_name(record.slice_key), {})
        for entry in record.metric_keys_and_values:
            key = entry.key
            if key.model_name not in ("", _CANDIDATE) or key.is_diff:
                continue
            row[key.name] = entry.value.double_value.value
    return metrics


def _not_numbers(metrics: dict[str, dict[str, float]]) -> list[str]:
    """Thresholds alone would let infinity pass, and a slice without thresholds anything."""
    wrong = [name for name, row in metrics.items() if not math.isfinite(row.get(GATE_METRIC, math.nan))]
    if not wrong and names.OVERALL in metrics:
        return []
    what = GATE_METRIC.replace("_", "@")
    return [
        f"{what} is not a finite number in: {', '.join(wrong) or names.OVERALL}; the model diverged, or nothing was"
        " measured"
    ]


def _reasons(result: tfma.validation_result_pb2.ValidationResult, metrics: dict[str, dict[str, float]]) -> list[str]:
    reasons = []
    validations = {_slice_name(validation.slice_key): validation for validation in result.metric_validations_per_slice}
    for where, validation in sorted(validations.items(), key=lambda item: slice_order(item[0])):
        for failure in validation.failures:
            what = f"{where} {failure.metric_key.name.replace('_', '@')}"
            value = failure.metric_value.double_value.value
            threshold = failure.metric_threshold
            if not failure.HasField("metric_value"):
                reasons.append(f"{what}: {failure.message}")
            elif failure.metric_key.is_diff:
                allowed = threshold.change_threshold.relative.value
                # TFMA gives the difference; the baseline is what it was taken from.
                now = metrics[where][failure.metric_key.name]
                share = value / (now - value) if now != value else math.nan
                reasons.append(
                    f"{what} changed by {share:+.1%} against the last blessed model, allowed is {allowed:+.1%}"
                )
            else:
                reasons.append(f"{what} is {value:.4f}, below {threshold.value_threshold.lower_bound.value:.4f}")
    for missing in result.missing_slices:
        reasons.append(f"the test split has no example in slice {slice_name(dict(missing.feature_values))}")
    return reasons


def _slice_name(key: tfma.metrics_for_slice_pb2.SliceKey) -> str:
    return slice_name({single.column: single.bytes_value.decode("utf-8") for single in key.single_slice_keys})
