"""The metric, without the rest of the pipeline."""

from __future__ import annotations

import pytest
import tensorflow_model_analysis as tfma

from tfx_pipeline.components.mean_outputs import MeanOutputs


def test_mean_outputs_has_one_mean_an_output_and_the_count() -> None:
    (computation,) = MeanOutputs(outputs=["hr_10", "mrr"]).computations(model_names=["candidate"])
    combiner = computation.combiner
    rows = [{"hr_10": 1.0, "mrr": 0.5}, {"hr_10": 0.0, "mrr": 0.1}, {"hr_10": 0.0, "mrr": 0.0}]
    parts = []
    for part in (rows[:1], rows[1:]):
        accumulator = combiner.create_accumulator()
        for row in part:
            outputs = {name: tf_value(value) for name, value in row.items()}
            element = tfma.metrics.StandardMetricInputs({"predictions": {"candidate": outputs}})
            accumulator = combiner.add_input(accumulator, element)
        parts.append(accumulator)
    found = combiner.extract_output(combiner.merge_accumulators(parts))
    assert {key.name: value for key, value in found.items()} == pytest.approx({"users": 3, "hr_10": 1 / 3, "mrr": 0.2})
    assert {key.model_name for key in found} == {"candidate"}


def test_a_slice_without_hits_has_a_mean_that_changes_can_be_measured_against() -> None:
    combiner = MeanOutputs(outputs=["ndcg_10"]).computations(model_names=[""])[0].combiner
    element = tfma.metrics.StandardMetricInputs({"predictions": {"ndcg_10": tf_value(0.0)}})
    mean = list(combiner.extract_output(combiner.add_input(combiner.create_accumulator(), element)).values())[-1]
    assert 0 < mean < 1e-6


def tf_value(value: float) -> object:
    """A model's output for one example, as TFMA hands it over."""
    import numpy as np

    return np.asarray([value], np.float32)
