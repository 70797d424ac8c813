"""What the Evaluator measures and when it blesses a model."""

from __future__ import annotations

import json

import tensorflow_model_analysis as tfma

from h2rec_tf import names
from tfx_pipeline.components.mean_outputs import MeanOutputs

# The metric that decides.
GATE_METRIC = "ndcg_10"
# The slices that decide: feature values, () is the whole split.
GATE_SLICES: tuple[tuple[tuple[str, str], ...], ...] = (
    (),
    ((names.POPULARITY_SLICE, names.HEAD),),
    ((names.POPULARITY_SLICE, names.TAIL),),
)


def eval_config(
    *, metrics: list[str], min_ndcg_at_10: float, max_relative_drop: float, by_history: bool = True
) -> tfma.EvalConfig:
    """TFMA's configuration over the model's `evaluate` signature.

    That signature returns each example's metrics, so their means are the metrics of a slice: TFMA needs no list of item
    scores. The gate is on NDCG@10: overall an absolute minimum, and overall, head and tail each the largest accepted
    relative loss against the last blessed model.

    Args:
        metrics: outputs of the signature; must hold "ndcg_10".
        min_ndcg_at_10: overall minimum.
        max_relative_drop: share of the baseline's value that a slice may lose.
        by_history: adds the slices by history length, for information.
    """
    slicing_specs = [
        tfma.SlicingSpec(feature_values=dict(values)) if values else tfma.SlicingSpec() for values in GATE_SLICES
    ]
    if by_history:
        slicing_specs.append(tfma.SlicingSpec(feature_keys=[names.HISTORY_SLICE]))
    change = tfma.GenericChangeThreshold(
        direction=tfma.MetricDirection.HIGHER_IS_BETTER, relative={"value": -max_relative_drop}
    )
    thresholds = []
    for spec in slicing_specs[: len(GATE_SLICES)]:
        threshold = tfma.MetricThreshold(change_threshold=change)
        if not spec.feature_values:
            threshold.value_threshold.lower_bound.value = min_ndcg_at_10
        thresholds.append(tfma.PerSliceMetricThreshold(slicing_specs=[spec], threshold=threshold))
    means = tfma.MetricConfig(
        class_name=MeanOutputs.__name__, module=MeanOutputs.__module__, config=json.dumps({"outputs": metrics})
    )
    spec = tfma.MetricsSpec(metrics=[means])
    spec.per_slice_thresholds[GATE_METRIC].thresholds.extend(thresholds)
    model = tfma.ModelSpec(
        signature_name=names.EVALUATE,
        # Not used by the means, but TFMA asks for a numeric label.
        label_key=names.TARGET_INDEX,
        preprocessing_function_names=[names.TRANSFORM_FEATURES],
    )
    return tfma.EvalConfig(model_specs=[model], slicing_specs=slicing_specs, metrics_specs=[spec])
