"""What examples must look like: the curated schemas of user and item examples."""

from __future__ import annotations

from tensorflow_metadata.proto.v0 import schema_pb2

from h2rec_tf import names
from h2rec_tf.config import ValidationConfig

_KINDS = {
    schema_pb2.BYTES: "text",
    schema_pb2.INT: "whole numbers",
    schema_pb2.FLOAT: "numbers",
}


def user_schema() -> schema_pb2.Schema:
    """Schema of user examples; each split is an environment.

    One user id an example; one target in every held-out example and none in training; any number of history items, as a
    held-out user may have none; times from 0. No string domains, as ids are open-ended.
    """
    schema = schema_pb2.Schema(default_environment=list(names.SPLITS))
    _add(schema, names.USER_ID, schema_pb2.BYTES, required=True, low=1, high=1)
    _add(schema, names.HISTORY, schema_pb2.BYTES, required=False, low=1, high=None)
    times = _add(schema, names.TIMESTAMPS, schema_pb2.INT, required=False, low=1, high=None)
    times.int_domain.min = 0
    target = _add(schema, names.TARGET, schema_pb2.BYTES, required=True, low=1, high=1)
    target.not_in_environment.append(names.TRAIN)
    return schema


def item_schema(width: int) -> schema_pb2.Schema:
    """Schema of item examples; categories are optional.

    Args:
        width: numbers in every item's vector; 0 where vectors are made from text.
    """
    schema = schema_pb2.Schema()
    _add(schema, names.ITEM_ID, schema_pb2.BYTES, required=True, low=1, high=1)
    _add(schema, names.TITLE, schema_pb2.BYTES, required=True, low=1, high=1)
    _add(schema, names.TEXT, schema_pb2.BYTES, required=True, low=1, high=1)
    _add(schema, names.CATEGORIES, schema_pb2.BYTES, required=False, low=1, high=1)
    if width:
        vector = _add(schema, names.VECTOR, schema_pb2.FLOAT, required=True, low=width, high=width)
        vector.float_domain.disallow_nan = True
        vector.float_domain.disallow_inf = True
    return schema


def with_limits(schema: schema_pb2.Schema, limits: ValidationConfig) -> schema_pb2.Schema:
    """A copy of a user schema with what the configuration says of history length, drift and skew."""
    limited = schema_pb2.Schema()
    limited.CopyFrom(schema)
    for feature in limited.feature:
        if feature.name in (names.HISTORY, names.TIMESTAMPS) and limits.max_history:
            feature.value_count.max = limits.max_history
        if feature.name in (names.HISTORY, names.TARGET) and limits.max_drift:
            feature.drift_comparator.infinity_norm.threshold = limits.max_drift
        if feature.name == names.HISTORY and limits.max_skew:
            feature.skew_comparator.infinity_norm.threshold = limits.max_skew
    return limited


def expectation(schema: schema_pb2.Schema, name: str) -> str:
    """What a schema asks of a feature, in words."""
    feature = next((feature for feature in schema.feature if feature.name == name), None)
    if feature is None:
        return "no such feature"
    low, high = feature.value_count.min, feature.value_count.max
    count = f"{low}" if low == high else f"{low} to {high}" if high else f"{low} or more"
    words = [f"{_KINDS[feature.type]}, {count} in {'every' if feature.presence.min_fraction else 'an'} example"]
    if feature.HasField("int_domain"):
        words.append(f"from {feature.int_domain.min}")
    if feature.not_in_environment:
        words.append(f"not in {', '.join(feature.not_in_environment)}")
    return ", ".join(words)


def _add(
    schema: schema_pb2.Schema,
    name: str,
    kind: schema_pb2.FeatureType.ValueType,
    *,
    required: bool,
    low: int,
    high: int | None,
) -> schema_pb2.Feature:
    feature = schema.feature.add(name=name, type=kind)
    feature.presence.min_fraction = 1.0 if required else 0.0
    feature.presence.min_count = 1 if required else 0
    feature.value_count.min = low
    if high is not None:
        feature.value_count.max = high
    return feature
