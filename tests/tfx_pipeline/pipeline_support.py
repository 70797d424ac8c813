"""What several tests of the pipeline share: a small catalogue, examples, a transform graph."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

ITEM_IDS = [f"item-{row:02d}" for row in range(39)] + ["with space, comma"]
RAW_SPEC = {name: tf.io.VarLenFeature(tf.string) for name in ("user_id", "history", "target")} | {
    "timestamps": tf.io.VarLenFeature(tf.int64)
}


@dataclasses.dataclass(frozen=True)
class Transformed:
    """What `preprocessing_fn` made of `rows`, and its graph, whose source vocabulary is gone."""

    rows: list[dict[str, list]]
    outputs: list[dict[str, np.ndarray]]
    graph: tft.TFTransformOutput


def example(**features: list) -> bytes:
    """A serialized example of strings, integers and floats."""
    proto = tf.train.Example()
    for name, values in features.items():
        if not values:
            continue
        if isinstance(values[0], int):
            proto.features.feature[name].int64_list.value.extend(values)
        elif isinstance(values[0], float):
            proto.features.feature[name].float_list.value.extend(values)
        else:
            proto.features.feature[name].bytes_list.value.extend(value.encode() for value in values)
    return proto.SerializeToString()
