"""TFMA metric: the mean of each output of the `evaluate` signature, all in one pass over the examples."""

from __future__ import annotations

from typing import Any

import apache_beam as beam
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis import constants as tfma_constants
from tensorflow_model_analysis.metrics import metric_types

# Beside the outputs: how many examples a slice has.
USERS = "users"
# Added to every mean. TFMA calls a relative change against exactly 0 undefined and refuses the model, so a baseline
# without a hit in a slice would bar every later one; with this, 0 after 0 is no change and a first hit is a gain.
_OFFSET = 1e-9


class MeanOutputs(metric_types.Metric):
    """Means of per-example outputs by slice, each under the output's own name, and `users`, their number.

    TFMA's `MeanPrediction` gives the same means from one combiner an output, each of which prepares labels, predictions
    and weights again for every example and slice: with seven outputs that is most of an evaluation's time.

    Args:
        outputs: names in the signature's result.
        name: of the metric in the configuration.
    """

    def __init__(self, outputs: list[str], name: str = "mean_outputs"):
        super().__init__(_computations, outputs=outputs, name=name)


metric_types.register_metric(MeanOutputs)


def _computations(
    outputs: list[str], name: str = "", model_names: list[str] | None = None, **unused: Any
) -> metric_types.MetricComputations:
    computations = []
    for model_name in model_names or [""]:
        # `example_weighted=None` is how TFMA names metrics of `MetricsSpec.per_slice_thresholds`; the default is False.
        keys = [metric_types.MetricKey(key, model_name, example_weighted=None) for key in (USERS, *outputs)]
        only_predictions = metric_types.StandardMetricInputsPreprocessor(
            include_filter={tfma_constants.PREDICTIONS_KEY: {}}, include_default_inputs=False
        )
        computations.append(metric_types.MetricComputation(keys, [only_predictions], _Means(model_name, outputs, keys)))
    return computations


class _Means(beam.CombineFn):
    """Accumulator: the number of examples, then the sum of each output."""

    def __init__(self, model_name: str, outputs: list[str], keys: list[metric_types.MetricKey]):
        self._model_name = model_name
        self._outputs = outputs
        self._keys = keys

    def create_accumulator(self) -> list[float]:
        return [0.0] * len(self._keys)

    def add_input(self, accumulator: list[float], element: tfma.metrics.StandardMetricInputs) -> list[float]:
        predictions = element.get_predictions(self._model_name)
        accumulator[0] += 1.0
        for place, output in enumerate(self._outputs, start=1):
            accumulator[place] += predictions[output].item()
        return accumulator

    def merge_accumulators(self, accumulators: Any) -> list[float]:
        return [sum(column) for column in zip(*accumulators, strict=True)]

    def extract_output(self, accumulator: list[float]) -> dict[metric_types.MetricKey, float]:
        users = accumulator[0]
        values = [users, *(total / users + _OFFSET if users else float("nan") for total in accumulator[1:])]
        return dict(zip(self._keys, values, strict=True))
