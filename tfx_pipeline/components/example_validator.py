"""ExampleValidator that stops the run: schema, items, drift between runs, skew between training and serving."""

from __future__ import annotations

import json
import os
from typing import Any, ClassVar

import pyarrow as pa
import tensorflow_data_validation as tfdv
from tensorflow_data_validation.statistics import stats_impl
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2
from tfx import types
from tfx.components.example_validator import executor
from tfx.components.statistics_gen import stats_artifact_utils
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.dsl.io import fileio
from tfx.types import artifact_utils, component_spec, standard_artifacts, standard_component_specs
from tfx.utils import io_utils

from h2rec_tf import names
from h2rec_tf.config import Config
from h2rec_tf.errors import InputError
from tfx_pipeline import constants
from tfx_pipeline.components.logged_requests import serving_statistics
from tfx_pipeline.constants import is_remote
from tfx_pipeline.earlier import earlier_outputs
from tfx_pipeline.reading import split_batches
from tfx_pipeline.records import verify
from tfx_pipeline.schema import expectation, item_schema, with_limits

_ROOT = "root"
# Left in the artifact of a run without anomalies: the statistics that later ones are compared with.
ACCEPTED_FILE = "accepted.json"
# Items that are looked at.
_ITEMS = 2048
# Anomalies named in the message; the artifact has all.
_SHOWN = 5
_Reason = anomalies_pb2.AnomalyInfo
_REMEDIES = {
    _Reason.COMPARATOR_L_INFTY_HIGH: "check the new data, or raise validation.max_drift or validation.max_skew",
    _Reason.FEATURE_TYPE_HIGH_NUMBER_VALUES: "see the rows behind it, or raise validation.max_history where it is set",
}
_REMEDY = "mend the input and run again"
_EMPTY = "check the data's filters and split, or hold out more"


class StrictExampleValidatorSpec(component_spec.ComponentSpec):
    """The stock spec with items, the pipeline's root and limits."""

    PARAMETERS: ClassVar[dict[str, Any]] = {
        constants.CONFIG: component_spec.ExecutionParameter(type=str),
        _ROOT: component_spec.ExecutionParameter(type=str),
    }
    INPUTS: ClassVar[dict[str, Any]] = {
        **standard_component_specs.ExampleValidatorSpec.INPUTS,
        constants.ITEMS: component_spec.ChannelParameter(type=standard_artifacts.Examples),
    }
    OUTPUTS: ClassVar[dict[str, Any]] = standard_component_specs.ExampleValidatorSpec.OUTPUTS


class StrictExampleValidatorExecutor(base_executor.BaseExecutor):
    """Validates every split and the items, writes all anomalies, then raises if there are any."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Validates.

        Raises:
            InputError: anomalies; the message has split, feature, what was found and expected, and the remedy.
        """
        limits = Config.from_dict({"validation": json.loads(exec_properties[constants.CONFIG])}).validation
        statistics = artifact_utils.get_single_instance(input_dict[standard_component_specs.STATISTICS_KEY])
        schema_uri = artifact_utils.get_single_uri(input_dict[standard_component_specs.SCHEMA_KEY])
        schema = with_limits(io_utils.SchemaReader().read(io_utils.get_only_uri_in_dir(schema_uri)), limits)
        output = artifact_utils.get_single_instance(output_dict[standard_component_specs.ANOMALIES_KEY])
        splits = artifact_utils.decode_split_names(statistics.split_names)
        output.split_names = artifact_utils.encode_split_names([*splits, constants.ITEMS_SPLIT])
        before = _accepted(exec_properties[_ROOT], output.uri)
        serving = _serving_statistics(limits.serving_requests)
        found = []
        for split in splits:
            measured = stats_artifact_utils.load_statistics(statistics, split).proto()
            anomalies = tfdv.validate_statistics(
                measured,
                schema,
                environment=split,
                previous_statistics=_statistics(before, split),
                serving_statistics=serving if split == names.TRAIN else None,
            )
            found += _kept(output, split, anomalies, schema)
            # Neither is an anomaly to TFDV, and what is not there drifts from nothing.
            if not sum(dataset.num_examples for dataset in measured.datasets):
                found.append(f"{split}: holds no example; {_EMPTY}")
            elif split == names.TRAIN and not _values(measured, names.HISTORY):
                found.append(f"{split}: `{names.HISTORY}`: no example has an item; {_EMPTY}")
        items, its_schema = _item_statistics(input_dict[constants.ITEMS])
        found += _kept(output, constants.ITEMS_SPLIT, tfdv.validate_statistics(items, its_schema), its_schema)
        if found:
            more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
            raise InputError(f"the examples do not fit their schema: {'; '.join(found[:_SHOWN])}{more}")
        # Below the root: an absolute path would lead out of a root that was moved or copied.
        place = statistics.uri.removeprefix(exec_properties[_ROOT].rstrip("/") + "/")
        accepted = json.dumps({standard_component_specs.STATISTICS_KEY: place})
        io_utils.write_string_file(os.path.join(output.uri, ACCEPTED_FILE), accepted)


class StrictExampleValidator(base_component.BaseComponent):
    """Validates statistics and items; an anomaly stops the run.

    Outputs:
        anomalies: what was found in each split, and in the items.
    """

    SPEC_CLASS = StrictExampleValidatorSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(StrictExampleValidatorExecutor)

    def __init__(
        self,
        *,
        statistics: types.BaseChannel,
        schema: types.BaseChannel,
        items: types.BaseChannel,
        root: str,
        limits: dict[str, Any],
    ):
        """Args:
        statistics: of the user examples.
        schema: their schema.
        items: item examples.
        root: the pipeline's root, where earlier runs left the statistics that were accepted.
        limits: the configuration tree's `validation` section as plain values.
        """
        super().__init__(
            spec=StrictExampleValidatorSpec(
                statistics=statistics,
                schema=schema,
                items=items,
                root=root,
                config=json.dumps(limits, sort_keys=True),
                anomalies=types.Channel(type=standard_artifacts.ExampleAnomalies),
            )
        )


def _values(statistics: statistics_pb2.DatasetFeatureStatisticsList, name: str) -> int:
    """How many values a feature has in all examples."""
    return sum(
        getattr(feature, feature.WhichOneof("stats")).common_stats.tot_num_values
        for dataset in statistics.datasets
        for feature in dataset.features
        if list(feature.path.step) == [name]
    )


def _serving_statistics(path: str) -> statistics_pb2.DatasetFeatureStatisticsList | None:
    return serving_statistics(path) if path else None


def _accepted(root: str, own: str) -> str:
    """Directory of the statistics that the last run without anomalies had, or ""."""
    for uri in reversed(earlier_outputs(root, standard_component_specs.ANOMALIES_KEY, ACCEPTED_FILE, own=own)):
        text = io_utils.read_string_file(os.path.join(uri, ACCEPTED_FILE))
        place: str = json.loads(text)[standard_component_specs.STATISTICS_KEY]
        if place.startswith("/") or is_remote(place):
            # Of another root.
            continue
        statistics = os.path.join(root, place)
        if fileio.exists(statistics):
            verify(statistics)
            return statistics
    return ""


def _statistics(uri: str, split: str) -> statistics_pb2.DatasetFeatureStatisticsList | None:
    path = os.path.join(uri, f"Split-{split}", "FeatureStats.pb")
    return tfdv.load_stats_binary(path) if uri and fileio.exists(path) else None


def _item_statistics(
    items: list[types.Artifact],
) -> tuple[statistics_pb2.DatasetFeatureStatisticsList, schema_pb2.Schema]:
    """Statistics of some items, and their schema with the width of the first vector."""
    rows: list[pa.RecordBatch] = []
    for batch in split_batches(items, constants.ITEMS_SPLIT, "ExampleValidator"):
        rows.append(batch.slice(0, _ITEMS - sum(map(len, rows))))
        if sum(map(len, rows)) >= _ITEMS:
            break
    batch = rows[0] if len(rows) == 1 else pa.Table.from_batches(rows).combine_chunks().to_batches()[0]
    width = 0
    if names.VECTOR in batch.schema.names:
        widths = batch.column(names.VECTOR).value_lengths().drop_null()
        width = widths[0].as_py() if len(widths) else 0
    return stats_impl.generate_statistics_in_memory(batch, tfdv.StatsOptions()), item_schema(width)


def _kept(
    output: types.Artifact, split: str, anomalies: anomalies_pb2.Anomalies, schema: schema_pb2.Schema
) -> list[str]:
    """Writes anomalies of a split as the stock component does, and describes them."""
    uri = os.path.join(output.uri, f"Split-{split}")
    fileio.makedirs(uri)
    with fileio.open(os.path.join(uri, executor.DEFAULT_FILE_NAME), "wb") as file:
        file.write(anomalies.SerializeToString())
    lines = []
    for feature, info in sorted(anomalies.anomaly_info.items()):
        kinds = [reason.type for reason in info.reason]
        remedy = next((_REMEDIES[kind] for kind in kinds if kind in _REMEDIES), _REMEDY)
        lines.append(
            f"{split}: `{feature}`: {info.description.rstrip('.')} (expected {expectation(schema, feature)}); {remedy}"
        )
    if anomalies.HasField("dataset_anomaly_info"):
        lines.append(f"{split}: {anomalies.dataset_anomaly_info.description.rstrip('.')}; {_REMEDY}")
    return lines
