"""The door of a model: whatever holds item sequences, as one int32 matrix with its padding in front."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def item_rows(inputs: Any) -> tf.Tensor:
    """Item sequences as the model computes with them.

    Positions, the last item and the next-item targets are read from the right end of a row. So a row that is padded
    behind its items (as `RaggedTensor.to_tensor` pads) or between them becomes the row that is padded in front.

    Args:
        inputs: integers `[B, T]` item indices with zeros anywhere, or a ragged `[B, (T)]`.

    Returns:
        int32 `[B, T]`, zeros first, items in their order.

    Raises:
        ValueError: other numbers than integers, or another shape.
    """
    items = inputs.to_tensor() if isinstance(inputs, tf.RaggedTensor) else tf.convert_to_tensor(inputs)
    if not items.dtype.is_integer:
        raise ValueError(f"item sequences must be integers, item indices with 0 as padding, got {items.dtype.name}")
    if items.shape.rank not in (None, 2):
        raise ValueError(f"item sequences must have shape [B, T], got {items.shape}")
    return left_padded(tf.cast(items, tf.int32))


def left_padded(items: tf.Tensor) -> tf.Tensor:
    """int32 `[B, T]` with zeros anywhere -> the same with zeros first, items in their order."""
    order = tf.argsort(tf.cast(items != 0, tf.int32), axis=1, stable=True)
    return tf.gather(items, order, batch_dims=1)


def only_items(data: Any) -> Any:
    """What Keras hands to a step, without what Keras itself put around the item sequences.

    Args:
        data: sequences, or a tuple of them and of nothing.

    Raises:
        ValueError: labels or weights beside the sequences: a model that took them would ignore them.
    """
    if isinstance(data, dict):
        raise ValueError(f"the model takes item sequences alone, got a dictionary of {', '.join(map(str, data))}")
    if not isinstance(data, (tuple, list)):
        return data
    if not data or any(part is not None for part in data[1:]):
        raise ValueError(
            "the model takes item sequences alone, its targets are their next items; give no `y`, `sample_weight` or"
            f" `class_weight` and batches of one tensor, not of {len(data)}"
        )
    return data[0]
