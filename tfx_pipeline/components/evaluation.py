"""What the Evaluator measures and when it blesses a model."""

from __future__ import annotations

import json

import tensorflow_model_analysis as tfma

from h2rec_tf import names
from h2rec_tf.config import GateConfig, SliceGateConfig
from h2rec_tf.errors import InputError
from h2rec_tf.metrics import slices
from tfx_pipeline.components.mean_outputs import MeanOutputs

# The metric that decides.
GATE_METRIC = "ndcg_10"
# Slices with thresholds whether the configuration names them or not.
_ALWAYS = (names.OVERALL, names.HEAD, names.TAIL)


def eval_config(*, metrics: list[str], gate: GateConfig) -> tfma.EvalConfig:
    """TFMA's configuration over the model's `evaluate` signature.

    That signature returns each example's metrics, so their means are the metrics of a slice: TFMA needs no list of item
    scores. Measured are the slices overall, head and tail, each popularity group and each history group. The gate is on
    NDCG@10: overall an absolute minimum, and overall, head and tail each the largest accepted relative loss against the
    last blessed model; `gate.slices` has thresholds of more slices, or others for those three.

    Args:
        metrics: outputs of the signature; must hold "ndcg_10".
        gate: the `gate` section.

    Raises:
        InputError: `gate.slices` names a slice that there is not.
    """
    known = _slices()
    for name in gate.slices:
        if name not in known:
            raise InputError(f"config: `gate.slices` names the slice '{name}'; there are: {', '.join(known)}")
    thresholds = []
    for name, feature_values in known.items():
        limits = _limits(name, gate)
        if limits is None:
            continue
        threshold = tfma.MetricThreshold(
            change_threshold=tfma.GenericChangeThreshold(
                direction=tfma.MetricDirection.HIGHER_IS_BETTER, relative={"value": -limits.max_relative_drop}
            )
        )
        if limits.min_ndcg_at_10 or name == names.OVERALL:
            threshold.value_threshold.lower_bound.value = limits.min_ndcg_at_10
        spec = tfma.SlicingSpec(feature_values=feature_values)
        thresholds.append(tfma.PerSliceMetricThreshold(slicing_specs=[spec], threshold=threshold))
    means = tfma.MetricConfig(
        class_name=MeanOutputs.__name__, module=MeanOutputs.__module__, config=json.dumps({"outputs": metrics})
    )
    metrics_spec = tfma.MetricsSpec(metrics=[means])
    metrics_spec.per_slice_thresholds[GATE_METRIC].thresholds.extend(thresholds)
    candidate = tfma.ModelSpec(
        name=tfma.CANDIDATE_KEY,
        signature_name=names.EVALUATE,
        # Not used by the means, but TFMA asks for a numeric label.
        label_key=names.TARGET_INDEX,
        preprocessing_function_names=[names.TRANSFORM_FEATURES],
    )
    # TFMA puts an example into the slices that any model names, and the earlier model has other popularities. So it
    # gets a function that names none; without any, TFMA would file the other's features where it does not look.
    baseline = tfma.ModelSpec(
        name=tfma.BASELINE_KEY,
        is_baseline=True,
        signature_name=names.EVALUATE,
        preprocessing_function_names=[names.ITEM_TITLES],
    )
    slicing_specs = [tfma.SlicingSpec(feature_values=known[name]) for name in _ALWAYS]
    slicing_specs += [
        tfma.SlicingSpec(feature_keys=[feature]) for feature in (names.POPULARITY_GROUP, names.HISTORY_SLICE)
    ]
    return tfma.EvalConfig(model_specs=[candidate, baseline], slicing_specs=slicing_specs, metrics_specs=[metrics_spec])


def slice_name(feature_values: dict[str, str]) -> str:
    """A slice's name, as the library's evaluation has it, from TFMA's feature values: `history 5-9`."""
    words = []
    for feature, value in sorted(feature_values.items()):
        prefix = {names.HISTORY_SLICE: "history ", names.POPULARITY_GROUP: "popularity "}.get(feature, "")
        words.append(value if value == names.COLD else prefix + value)
    return " ".join(words) or names.OVERALL


def _slices() -> dict[str, dict[str, str]]:
    """Every slice's name and feature values."""
    every = [{}, {names.POPULARITY_SLICE: names.HEAD}, {names.POPULARITY_SLICE: names.TAIL}]
    groups = [names.COLD, *slices.group_labels(slices.POPULARITY_GROUPS)]
    every += [{names.POPULARITY_GROUP: label} for label in groups]
    every += [{names.HISTORY_SLICE: label} for label in slices.group_labels(slices.HISTORY_GROUPS)]
    return {slice_name(values): values for values in every}


def _limits(name: str, gate: GateConfig) -> SliceGateConfig | None:
    """The thresholds of a slice with every value decided, or None where it has none."""
    given = gate.slices.get(name)
    if given is None and name not in _ALWAYS:
        return None
    given = given or SliceGateConfig()
    minimum = given.min_ndcg_at_10 or (gate.min_ndcg_at_10 if name == names.OVERALL else 0.0)
    drop = gate.max_relative_drop if given.max_relative_drop < 0 else given.max_relative_drop
    return SliceGateConfig(minimum, drop)
