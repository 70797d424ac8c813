"""What a run came to: metrics by slice, the blessing with its reasons, and where the model went."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import tensorflow_model_analysis as tfma
from tfx.types import standard_component_specs

from h2rec_tf import names
from h2rec_tf.metrics import table
from tfx_pipeline import constants
from tfx_pipeline.runners.local import NodeRun

# What the Evaluator calls the new model when there is a baseline to compare with.
_CANDIDATE = "candidate"


@dataclasses.dataclass(frozen=True)
class RunSummary:
    """The outcome of a pipeline run.

    Attributes:
        metrics: slice -> metric -> value, as `metrics["head"]["ndcg_10"]`; `users` is the number of examples.
        blessed: the Evaluator's verdict.
        reasons: why it was not blessed, one line each.
        pushed: directory of the pushed version, or "".
    """

    metrics: dict[str, dict[str, float]]
    blessed: bool
    reasons: list[str]
    pushed: str

    def table(self) -> str:
        """A row a slice, a column a metric."""
        columns = [
            "users",
            *sorted({name for row in self.metrics.values() for name in row} - {"users"}, key=_metric_key),
        ]
        rows = []
        for name in sorted(self.metrics, key=_slice_key):
            values = (self.metrics[name].get(column, math.nan) for column in columns)
            rows.append([name, *(table.number(column, value) for column, value in zip(columns, values, strict=True))])
        return table.render(["slice", *(column.replace("_", "@") for column in columns)], rows, markdown=False)


def summarize(runs: Mapping[str, NodeRun]) -> RunSummary:
    """Reads the artifacts that Evaluator and Pusher left."""
    evaluator, pusher = runs[constants.EVALUATOR].outputs, runs[constants.PUSHER].outputs
    evaluation = evaluator[standard_component_specs.EVALUATION_KEY][0].uri
    result = tfma.load_validation_result(evaluation)
    pushed = pusher[standard_component_specs.PUSHED_MODEL_KEY][0].custom_properties
    metrics = _metrics(evaluation)
    return RunSummary(
        metrics=metrics,
        blessed=result.validation_ok,
        reasons=_reasons(result, metrics),
        pushed=pushed["pushed_destination"].string_value,
    )


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


def _reasons(result: tfma.validation_result_pb2.ValidationResult, metrics: dict[str, dict[str, float]]) -> list[str]:
    reasons = []
    validations = {_slice_name(validation.slice_key): validation for validation in result.metric_validations_per_slice}
    for where, validation in sorted(validations.items(), key=lambda item: _slice_key(item[0])):
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
        reasons.append(f"the test split has no example in slice {_slice_name_of_spec(missing)}")
    return reasons


def _slice_name(key: tfma.metrics_for_slice_pb2.SliceKey) -> str:
    parts = [(single.column, single.bytes_value.decode("utf-8")) for single in key.single_slice_keys]
    return _named(parts)


def _slice_name_of_spec(spec: tfma.SlicingSpec) -> str:
    return _named(sorted(spec.feature_values.items()))


def _named(parts: list[tuple[str, str]]) -> str:
    words = []
    for column, value in parts:
        words.append(f"history {value}" if column == names.HISTORY_SLICE else value)
    return " ".join(words) or names.OVERALL


def _metric_key(name: str) -> tuple[str, int]:
    stem, _, k = name.partition("_")
    return stem, int(k) if k else 0


def _slice_key(name: str) -> tuple[int, int]:
    order = (names.OVERALL, names.HEAD, names.TAIL)
    if name in order:
        return order.index(name), 0
    digits = "".join(letter if letter.isdigit() else " " for letter in name).split()
    return len(order), int(digits[0]) if digits else 0
