"""What a run came to: metrics by slice, the blessing with its reasons, and where the model went."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping

from ml_metadata.proto import metadata_store_pb2
from tfx.components.evaluator.constants import ARTIFACT_PROPERTY_BASELINE_MODEL_URI_KEY
from tfx.types import standard_component_specs

from h2rec_tf.metrics import table
from tfx_pipeline import constants
from tfx_pipeline.components.evaluation_results import EvaluationResults, slice_order
from tfx_pipeline.components.index_evaluator import BLESSED, REASONS
from tfx_pipeline.runners.local import NodeRun


@dataclasses.dataclass(frozen=True)
class RunSummary:
    """The outcome of a pipeline run.

    Attributes:
        metrics: slice -> metric -> value, as `metrics["head"]["ndcg_10"]`; `users` is the number of examples.
        blessed: whether the model, its index and, where it was judged, its start in a server were all blessed.
        reasons: why not, one line each.
        compared: whether there was an earlier model to compare with, and how the model stands to recommenders without
            training, one line each.
        pushed: directory of the pushed version, or "".
        report: path of the run's HTML report.
    """

    metrics: dict[str, dict[str, float]]
    blessed: bool
    reasons: list[str]
    compared: list[str]
    pushed: str
    report: str

    def table(self) -> str:
        """A row a slice, a column a metric."""
        columns = [
            "users",
            *sorted({name for row in self.metrics.values() for name in row} - {"users"}, key=_metric_key),
        ]
        rows = []
        for name in sorted(self.metrics, key=slice_order):
            values = (self.metrics[name].get(column, math.nan) for column in columns)
            rows.append([name, *(table.number(column, value) for column, value in zip(columns, values, strict=True))])
        return table.render(["slice", *(column.replace("_", "@") for column in columns)], rows, markdown=False)


def summarize(runs: Mapping[str, NodeRun]) -> RunSummary:
    """Reads the artifacts that the validators and the Pusher left."""

    def output(node: str, key: str) -> metadata_store_pb2.Artifact:
        return runs[node].outputs[key][0]

    results = EvaluationResults.load(output(constants.EVALUATOR, standard_component_specs.EVALUATION_KEY).uri)
    reasons = list(results.reasons)
    index = output(constants.INDEX_EVALUATOR, standard_component_specs.BLESSING_KEY).custom_properties
    if not index[BLESSED].int_value:
        reasons.append(f"index: {index[REASONS].string_value}")
    judged = output(constants.EVALUATOR, standard_component_specs.BLESSING_KEY).custom_properties
    earlier = judged[ARTIFACT_PROPERTY_BASELINE_MODEL_URI_KEY].string_value
    first = []
    if not earlier and not results.baselines.not_compared:
        first.append("no model was blessed before this one, so gate.max_relative_drop compared nothing")
    infra_blessed = True
    if constants.INFRA_VALIDATOR in runs:
        infra = output(constants.INFRA_VALIDATOR, standard_component_specs.BLESSING_KEY).custom_properties
        infra_blessed = bool(infra["blessed"].int_value)
        if not infra_blessed:
            reasons.append("the server's image did not load the model (InfraValidator); see the log")
    pushed = output(constants.PUSHER, standard_component_specs.PUSHED_MODEL_KEY).custom_properties
    return RunSummary(
        metrics=results.metrics,
        blessed=results.blessed and bool(index[BLESSED].int_value) and infra_blessed,
        reasons=reasons,
        compared=[*first, *results.baselines.lines()],
        pushed=pushed["pushed_destination"].string_value,
        report=os.path.join(output(constants.REPORT_GEN, constants.REPORT).uri, constants.REPORT_FILE),
    )


def _metric_key(name: str) -> tuple[str, int]:
    stem, _, k = name.partition("_")
    return stem, int(k) if k else 0
